//! A Redis Cluster of three primaries.

use super::process::free_port;
use super::redis::Redis;
use super::redis_tls::Certificates;

/// Three servers that share the slots.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Redis>,
    certificates: Option<Certificates>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::launch(None)
    }

    /// With TLS only.
    pub(crate) fn start_tls() -> Self {
        Self::launch(Some(Certificates::new()))
    }

    fn launch(certificates: Option<Certificates>) -> Self {
        let mut nodes = Vec::new();
        let mut buses = Vec::new();
        for _ in 0..3 {
            let bus = free_port().to_string();
            // The usual bus port is the port plus 10000, which does not exist for every free port.
            let usual = ["--cluster-enabled", "yes", "--cluster-port", &bus];
            let tls = certificates.as_ref().map(Certificates::arguments);
            nodes.push(match &tls {
                None => Redis::start_with(&usual),
                Some(tls) => {
                    let arguments = usual.into_iter().chain(["--tls-cluster", "yes"]);
                    Redis::start_tls(&arguments.chain(tls.iter().map(String::as_str)).collect::<Vec<_>>())
                }
            });
            buses.push(bus);
        }
        let cluster = Self { nodes, certificates };
        for (number, slots) in [(0, "0 5460"), (1, "5461 10922"), (2, "10923 16383")] {
            let epoch = (number + 1).to_string();
            cluster.command(number, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            let (from, to) = slots.split_once(' ').expect("two slots");
            cluster.command(number, &["CLUSTER", "ADDSLOTSRANGE", from, to]);
        }
        for (node, bus) in cluster.nodes.iter().zip(&buses).skip(1) {
            cluster.command(0, &["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), bus]);
        }
        for node in &cluster.nodes {
            node.hear("Cluster state changed: ok");
        }
        cluster
    }

    pub(crate) fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    pub(crate) fn nodes_mut(&mut self) -> &mut [Redis] {
        &mut self.nodes
    }

    /// The authority that the nodes' certificates are from.
    pub(crate) fn ca(&self) -> Option<String> {
        self.certificates.as_ref().map(Certificates::ca)
    }

    /// All nodes, as the broker's `cache.redis` is written.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    /// How many keys each node has.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        let size = |number| redis::from_redis_value(self.command(number, &["DBSIZE"])).expect("a number");
        (0..self.nodes.len()).map(size).collect()
    }

    /// One command at one node.
    pub(crate) fn command(&self, number: usize, words: &[&str]) -> redis::Value {
        let url = self.nodes[number].url();
        let client = match self.ca() {
            None => redis::Client::open(url),
            Some(ca) => {
                let root_cert = Some(std::fs::read(ca).expect("the CA's certificate"));
                redis::Client::build_with_tls(url, redis::TlsCertificates { client_tls: None, root_cert })
            }
        };
        let mut connection = client.expect("a Redis URL").get_connection().expect("a node takes connections");
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query(&mut connection).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }
}
