//! The composition as an operator handles it: by docker-compose and docker, each call bounded in time.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// Apart from a composition that somebody uses.
const PROJECT: &str = "mcx-composition-test";
/// Images that are not there yet are built.
const BUILD_SECONDS: u32 = 1800;
/// Any other call.
const CALL_SECONDS: u32 = 180;
const ALL_PROFILES: [&str; 6] =
    ["--profile", "observability", "--profile", "sentinel", "--profile", "cluster"];

/// What the replicas keep tokens in, as `CACHE` and the profile of that name say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cache {
    Single,
    Sentinel,
    Cluster,
}

impl Cache {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Single => "one Redis:",
            Self::Sentinel => "Redis with Sentinels:",
            Self::Cluster => "Redis Cluster:",
        }
    }

    /// `CACHE`, and the profiles.
    fn settings(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Single => ("single", &["--profile", "observability"]),
            Self::Sentinel => ("sentinel", &["--profile", "sentinel"]),
            Self::Cluster => ("cluster", &["--profile", "cluster"]),
        }
    }
}

/// The containers, as far as they are there.
#[derive(Debug)]
pub(crate) struct Composition {
    project: &'static str,
    /// Set once something was started: taking down what is not there takes seconds too.
    cache: Mutex<Option<Cache>>,
    /// Held while docker-compose works; whether it is over, and nothing more may be started.
    over: Mutex<bool>,
}

impl Composition {
    pub(crate) fn new() -> Self {
        Self { project: PROJECT, cache: Mutex::default(), over: Mutex::default() }
    }

    /// Starts what is not running, and waits until it is healthy.
    pub(crate) async fn up(&self, cache: Cache) {
        let before = self.cache.lock().unwrap().replace(cache);
        if before.is_none() {
            // What an earlier run that was killed has left behind.
            succeeded("docker-compose down", &self.run(CALL_SECONDS, &all_down()));
        }
        let arguments = [cache.settings().1, &["up", "--detach"]].concat();
        let started = self.run_unless_over(BUILD_SECONDS, &arguments);
        assert!(
            started.status.success(),
            "the composition does not start (is another one running, or are its ports taken?):\n{}",
            text(&started.stderr)
        );
        for service in self.running() {
            self.await_health(&service).await;
        }
    }

    /// Takes everything down that was started, volumes and networks included.
    pub(crate) fn down(&self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        if self.cache.lock().unwrap().is_some() {
            succeeded("something is left behind", &self.run(CALL_SECONDS, &all_down()));
        }
    }

    /// The last lines of every container that has something to say. They bear no tokens: the broker's own tests see to that.
    pub(crate) fn show_logs(&self) {
        if self.cache.lock().unwrap().is_some() {
            let arguments = [&ALL_PROFILES[..], &["logs", "--no-color", "--tail", "25"]].concat();
            println!("{}", text(&self.run(CALL_SECONDS, &arguments).stdout));
        }
    }

    /// `docker-compose` with these words; what it prints.
    pub(crate) fn compose(&self, arguments: &[&str]) -> String {
        succeeded(&format!("docker-compose {arguments:?}"), &self.run_unless_over(CALL_SECONDS, arguments))
    }

    fn run_unless_over(&self, seconds: u32, arguments: &[&str]) -> Output {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!*over, "it is over");
        self.run(seconds, arguments)
    }

    fn run(&self, seconds: u32, arguments: &[&str]) -> Output {
        let mut command = bounded(seconds);
        command.args(compose_command()).args(["--project-name", self.project]).args(arguments);
        self.settings().into_iter().fold(&mut command, |command, (name, value)| command.env(name, value));
        output(&mut command)
    }

    /// What the environment of docker-compose must have for the composition to be this one.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let cache = self.cache.lock().unwrap().unwrap_or(Cache::Single);
        let mut settings =
            vec![("CACHE", cache.settings().0.to_owned()), ("COMPOSE_PROJECT_NAME", PROJECT.to_owned())];
        if let Ok(profile) = std::env::var("PROFILE") {
            settings.push(("PROFILE", profile));
        }
        settings
    }

    fn own(&self) -> String {
        format!("label=com.docker.compose.project={}", self.project)
    }

    /// The services that have a running container.
    pub(crate) fn running(&self) -> Vec<String> {
        let all =
            docker(&["ps", "--filter", &self.own(), "--format", "{{.Label \"com.docker.compose.service\"}}"]);
        let mut services: Vec<String> = all.lines().map(str::to_owned).collect();
        services.sort();
        services
    }

    /// The id of a service's container, running or not.
    pub(crate) fn container(&self, service: &str) -> String {
        let id = docker(&[
            "ps",
            "--all",
            "--no-trunc",
            "--quiet",
            "--filter",
            &self.own(),
            "--filter",
            &format!("label=com.docker.compose.service={service}"),
        ]);
        let id = id.trim();
        assert!(!id.is_empty() && !id.contains('\n'), "{service}: one container, not {id:?}");
        id.to_owned()
    }

    /// What Docker knows of a service's container.
    pub(crate) fn inspect(&self, service: &str) -> Value {
        let all = docker(&["inspect", &self.container(service)]);
        serde_json::from_str::<Value>(&all).unwrap()[0].take()
    }

    /// Waits until Docker calls a service healthy. One without a health check is running; one that is to be run once has ended well.
    pub(crate) async fn await_health(&self, service: &str) {
        until(&format!("{service} is healthy"), async || {
            let container = self.inspect(service);
            let state = &container["State"];
            let ended_well = container["HostConfig"]["RestartPolicy"]["Name"] == "no"
                && state["Status"] == "exited"
                && state["ExitCode"] == 0;
            let health = state["Health"]["Status"].as_str();
            ended_well || state["Running"] == true && health.is_none_or(|health| health == "healthy")
        })
        .await;
    }

    /// A command in a service's container; what it prints.
    pub(crate) fn exec(&self, service: &str, command: &[&str]) -> String {
        docker(&[&["exec", &self.container(service)], command].concat())
    }

    /// A file of a service's container. Images without a shell have no `cat`.
    pub(crate) fn read(&self, service: &str, path: &str) -> String {
        let mut copy = bounded(CALL_SECONDS);
        copy.args([
            "sh",
            "-c",
            "docker cp \"$1\" - | tar -xO",
            "read",
            &format!("{}:{path}", self.container(service)),
        ]);
        succeeded(path, &output(&mut copy))
    }

    /// Cuts a service off from a network.
    pub(crate) fn disconnect(&self, network: &str, service: &str) {
        docker(&["network", "disconnect", &network_name(network), &self.container(service)]);
    }

    /// The way back, under the name that it had there.
    pub(crate) fn connect(&self, network: &str, service: &str, alias: &str) {
        docker(&["network", "connect", "--alias", alias, &network_name(network), &self.container(service)]);
    }
}

fn all_down() -> Vec<&'static str> {
    [&ALL_PROFILES[..], &["down", "--volumes", "--remove-orphans"]].concat()
}

/// The whole name of a network of the composition.
pub(crate) fn network_name(network: &str) -> String {
    format!("{PROJECT}_{network}")
}

/// The top of the source tree.
pub(crate) fn project_directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compose 1 is a program, Compose 2 a plugin of docker.
pub(crate) fn compose_command() -> &'static [&'static str] {
    let is_there = |program: &[&str]| {
        Command::new(program[0])
            .args(&program[1..])
            .arg("version")
            .output()
            .is_ok_and(|run| run.status.success())
    };
    [&["docker-compose"][..], &["docker", "compose"][..]]
        .into_iter()
        .find(|program| is_there(program))
        .expect("docker-compose, or docker with the compose plugin, is on this machine")
}

/// `docker` with these words; what it prints.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let mut command = bounded(CALL_SECONDS);
    command.arg("docker").args(arguments);
    succeeded(&format!("docker {arguments:?}"), &output(&mut command))
}

/// A command line that is killed when it takes longer.
pub(crate) fn bounded(seconds: u32) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &seconds.to_string()]).current_dir(project_directory());
    command
}

/// Runs it beside what is going on.
pub(crate) fn output(command: &mut Command) -> Output {
    tokio::task::block_in_place(|| command.output()).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What it printed.
pub(crate) fn succeeded(what: &str, output: &Output) -> String {
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Asks again every quarter of a second, for a minute and a half at most.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let elapsed = crate::stopwatch();
    while !holds().await {
        assert!(elapsed() < Duration::from_secs(90), "never: {what}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
