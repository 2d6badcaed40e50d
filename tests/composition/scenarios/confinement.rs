//! What each container may do, and whom it may reach.

use serde_json::{Value, json};

use crate::compose::{Composition, bounded, network_name, output, until};
use crate::people::{BROKERS, PROMETHEUS, Person};

pub(super) async fn each_container_is_confined(composition: &Composition) {
    let running = composition.running();
    assert_eq!(
        running,
        ["balancer", "broker-1", "broker-2", "city-police", "county-fire", "home", "prometheus", "redis"]
    );
    for service in running.iter().map(String::as_str).chain(["credentials"]) {
        let container = composition.inspect(service);
        let host = &container["HostConfig"];
        assert_eq!(container["Config"]["User"], "10001:10001", "{service}");
        assert_eq!(host["ReadonlyRootfs"], true, "{service}");
        assert_eq!(host["Privileged"], false, "{service}");
        assert_eq!(host["CapDrop"], json!(["ALL"]), "{service}");
        assert!(host["CapAdd"].is_null(), "{service}");
        assert_eq!(host["SecurityOpt"], json!(["no-new-privileges:true"]), "{service}");
        assert!(host["Memory"].as_u64().is_some_and(|bytes| bytes > 0), "{service}");
        assert!(host["PidsLimit"].as_u64().is_some_and(|limit| limit > 0), "{service}");
        let published = host["PortBindings"].as_object().into_iter().flat_map(serde_json::Map::values);
        for binding in published.flat_map(|ports| ports.as_array().into_iter().flatten()) {
            assert_eq!(binding["HostIp"], "127.0.0.1", "{service}");
        }
        for mount in container["Mounts"].as_array().into_iter().flatten() {
            assert!(service == "credentials" || mount["RW"] == false, "{service}: {mount}");
        }
    }
    assert_eq!(composition.inspect("credentials")["State"]["ExitCode"], 0);
}

fn networks(container: &Value) -> Vec<String> {
    let networks = container["NetworkSettings"]["Networks"].as_object().unwrap();
    networks.keys().cloned().collect()
}

pub(super) async fn only_the_broker_is_in_more_than_one_domain(composition: &Composition) {
    for (service, own) in [
        ("home", "home"),
        ("balancer", "home"),
        ("prometheus", "home"),
        ("county-fire", "county-fire"),
        ("city-police", "city-police"),
        ("redis", "cache"),
    ] {
        assert_eq!(networks(&composition.inspect(service)), [network_name(own)], "{service}");
    }
    for broker in BROKERS {
        let all = ["cache", "city-police", "county-fire", "home"].map(network_name);
        assert_eq!(networks(&composition.inspect(broker)), all, "{broker}");
    }
    // And so it is when one tries: by name and by address, from the home domain.
    let partner = composition.inspect("county-fire");
    let address = &partner["NetworkSettings"]["Networks"][network_name("county-fire")]["IPAddress"];
    let redis = composition.inspect("redis");
    let redis = &redis["NetworkSettings"]["Networks"][network_name("cache")]["IPAddress"];
    for (host, port) in [
        ("idm.county-fire.localhost", 8445),
        (address.as_str().unwrap(), 8445),
        ("redis", 6379),
        (redis.as_str().unwrap(), 6379),
    ] {
        let mut attempt = bounded(30);
        let connect = format!("exec 3<>/dev/tcp/{host}/{port}");
        attempt.args([
            "docker",
            "exec",
            &composition.container("balancer"),
            "timeout",
            "3",
            "bash",
            "-c",
            &connect,
        ]);
        assert!(!output(&mut attempt).status.success(), "the balancer reaches {host}:{port}");
    }
    let reachable = "exec 3<>/dev/tcp/broker-1/8443";
    composition.exec("balancer", &["timeout", "3", "bash", "-c", reachable]);
}

pub(super) async fn prometheus_sees_both_replicas_and_has_the_alerts(composition: &Composition) {
    let person = Person::new(composition, 1);
    until("both replicas are scraped", async || {
        let up = person.read(&format!("{PROMETHEUS}/api/v1/query?query=up")).await;
        let up: Value = serde_json::from_str(&up.text).unwrap_or_default();
        let replicas = up["data"]["result"].as_array().into_iter().flatten();
        replicas.filter(|replica| replica["value"][1] == "1").count() == BROKERS.len()
    })
    .await;
    let measured = person.read(&format!("{PROMETHEUS}/api/v1/query?query=mcx_broker_listening")).await;
    assert!(measured.text.contains("broker-2:9090"), "{}", measured.text);

    until("every alert is evaluated", async || {
        let groups = person.read(&format!("{PROMETHEUS}/api/v1/rules")).await;
        let groups: Value = serde_json::from_str(&groups.text).unwrap_or_default();
        let groups = groups["data"]["groups"].as_array().into_iter().flatten();
        let rules: Vec<&Value> =
            groups.flat_map(|group| group["rules"].as_array().into_iter().flatten()).collect();
        !rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")
    })
    .await;
}
