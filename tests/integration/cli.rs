//! The binary as a shell sees it: exit codes, what is on which stream, signals.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::http;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mcx-token-broker");
const DEMO_CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo.toml");

/// What a finished run left.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

fn run(arguments: &[&str]) -> Ran {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().expect("the binary runs").into()
}

/// Runs a line as it would be pasted.
fn bash(line: &str) -> Ran {
    Command::new("bash").args(["-c", line]).stdin(Stdio::null()).output().expect("bash runs").into()
}

/// A command that serves until it is told to stop. Killed when a test fails before that.
struct Serving {
    child: Child,
    /// Kept to the end, both: a command ends when nobody reads it any more.
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Serving {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, stdout, stderr }
    }

    /// Sends a signal and returns the exit code, with what was still unread of standard error.
    fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        // The shell's own: a bare machine has no program of that name.
        let line = format!("kill {signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &line]).status().expect("a shell").success());
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("UTF-8");
        (self.child.wait().expect("it ends").code(), rest)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail only for a child that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker file with three mistakes.
fn broken_configuration(directory: &Path) -> String {
    let file = directory.join("broker.toml");
    let text = "[server]\nlisten = \"nowhere\"\n[home]\nissuer = \"\"\nunknown = 1\n";
    fs::write(&file, text).expect("the file can be written");
    file.display().to_string()
}

#[test]
fn check_passes_a_good_configuration() {
    let ran = run(&["check", "--config", DEMO_CONFIGURATION]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "1 partner, 1 client: OK\n"), "{ran:?}");

    let ran = run(&["--config", DEMO_CONFIGURATION, "check", "--json"]);
    let expected = json!({ "ok": true, "partners": 1, "clients": 1, "problems": [], "warnings": [] });
    assert_eq!((ran.code, serde_json::from_str(&ran.stdout).ok()), (Some(0), Some(expected)));
}

#[test]
fn check_and_serve_name_every_problem_of_a_broken_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = broken_configuration(directory.path());
    let arguments = |command| [command, "--config", file.as_str(), "--set", "log.filter=,,=,"];
    let keys = ["server.listen: ", "home.issuer: ", "home.unknown: "].map(|key| format!("{file}: {key}"));

    let checked = run(&arguments("check"));
    assert_eq!(checked.code, Some(1));
    for start in keys.iter().map(String::as_str).chain(["flag: log.filter: "]) {
        assert!(checked.stdout.lines().any(|line| line.starts_with(start)), "{start}\n{}", checked.stdout);
    }
    let last = checked.stdout.lines().last().unwrap_or_default();
    assert_eq!(last, format!("{} problems", checked.stdout.lines().count() - 1));

    let served = run(&arguments("serve"));
    assert_eq!((served.code, served.stdout.as_str()), (Some(78), ""), "{served:?}");
    let without_summary = checked.stdout.lines().filter(|line| *line != last).collect::<Vec<_>>();
    assert_eq!(served.stderr.lines().collect::<Vec<_>>(), without_summary);

    let report: Value =
        serde_json::from_str(&run(&["check", "--json", "--config", &file]).stdout).expect("JSON");
    assert_eq!(report["ok"], false);
    let problem = &report["problems"][0];
    assert!(
        ["file", "key", "problem", "remedy"].iter().all(|member| problem[member].is_string()),
        "{report}"
    );
}

#[rstest]
#[case::no_command(&[], 2, "Usage:")]
#[case::unknown_command(&["served"], 2, "unrecognized subcommand")]
#[case::configuration_that_is_not_read(&["health", "--set", "home.issuer=x"], 2, "serve, check")]
#[case::override_without_value(&["check", "--set", "home.issuer"], 2, "KEY=VALUE")]
#[case::nobody_there(&["health", "--admin", "http://127.0.0.1:1"], 1, "not ready")]
#[case::no_such_algorithm(&["keys", "generate", "--algorithm", "HS256", "--output", "x"], 2, "asymmetric")]
#[case::remote_sandbox(&["sandbox", "--listen", "0.0.0.0:0"], 1, "loopback")]
#[case::unknown_behaviour(&["sandbox", "--behaviour", "x"], 2, "keycloak")]
#[case::plain_http(
    &["token", "login", "--issuer", "http://idm.example", "--client-id", "x", "--no-browser"],
    1,
    "http://idm.example: its endpoints are not known"
)]
#[case::no_target(&["token", "exchange", "--client-id", "x"], 2, "--resource")]
fn mistakes_have_an_exit_code_and_an_explanation(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] explanation: &str,
) {
    let ran = run(arguments);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{ran:?}");
    assert!(ran.stderr.contains(explanation), "{ran:?}");
}

#[test]
fn a_reader_that_went_away_is_no_panic() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ran: Ran = Command::new(PROGRAM)
        .args(["completions", "bash"])
        .stdout(writer)
        .output()
        .expect("the binary runs")
        .into();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
}

#[test]
fn keys_are_for_their_owner_only_not_overwritten_and_what_the_broker_takes() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("signing.pem");
    let file = path.to_str().expect("UTF-8");
    let generate = ["keys", "generate", "--algorithm", "ES256", "--output", file];

    let made = run(&generate);
    assert_eq!(made.code, Some(0), "{made:?}");
    let public: Value = serde_json::from_str(&made.stdout).expect("a JWK");
    assert_eq!((&public["kty"], &public["alg"], &public["d"]), (&json!("EC"), &json!("ES256"), &Value::Null));
    assert!(made.stderr.contains(public["kid"].as_str().expect("a kid")), "{made:?}");
    assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
    let first = fs::read_to_string(&path).expect("the file");
    assert!(first.starts_with("-----BEGIN PRIVATE KEY-----"));

    let again = run(&generate);
    assert_eq!((again.code, again.stdout.as_str()), (Some(1), ""), "{again:?}");
    assert_eq!(fs::read_to_string(&path).expect("the file"), first);
    assert_eq!(run(&[&generate[..], &["--force"]].concat()).code, Some(0));
    assert_ne!(fs::read_to_string(&path).expect("the file"), first);

    let sealing = directory.path().join("seal");
    let made = run(&["keys", "generate", "--sealing", "--output", sealing.to_str().expect("UTF-8")]);
    assert_eq!((made.code, made.stdout.as_str()), (Some(0), ""), "{made:?}");
    let configuration = directory.path().join("broker.toml");
    let text = "signing.keys = [{ key_file = \"signing.pem\" }]\n\
                cache = { redis = \"redis://127.0.0.1:1/0\", sealing_key_files = [\"seal\"] }\n";
    fs::write(&configuration, text).expect("the file can be written");
    let accepted = run(&["check", "--config", configuration.to_str().expect("UTF-8")]);
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
}

#[test]
fn serve_is_healthy_until_sigterm_and_says_who_has_the_port() {
    let common = ["serve", "--config", DEMO_CONFIGURATION, "--admin-listen", "127.0.0.1:0"];
    let logs = ["--set", "log.format=json", "--set", "server.workers=1"];
    let mut serving = Serving::start(&[&common[..], &["--listen", "127.0.0.1:0"], &logs].concat());
    let listening = serving
        .stderr
        .by_ref()
        .lines()
        .map_while(Result::ok)
        .map(|line| serde_json::from_str::<Value>(&line).expect("a JSON log line"))
        .find(|line| line["message"] == "listening")
        .expect("it listens");
    let address = |name: &str| listening[name].as_str().expect("an address").to_owned();

    let health = run(&["health", "--admin", &format!("http://{}", address("admin"))]);
    assert_eq!((health.code, health.stdout.as_str()), (Some(0), "ready\n"), "{health:?}");
    let second = run(&[&common[..], &["--listen", &address("public")]].concat());
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("another process has that port"), "{second:?}");

    let (code, rest) = serving.stop("-TERM");
    assert_eq!(code, Some(0), "{rest}");
    assert!(rest.contains("\"message\":\"stopped\""), "{rest}");
}

#[test]
fn the_demo_shows_every_step_as_one_json_object() {
    let ran = run(&["demo", "--once", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let steps: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("one object per line")).collect();
    let names: Vec<_> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    let expected =
        ["login", "cold_exchange", "cached_exchange", "group_document", "refused_scope", "security_token"];
    assert_eq!(names, expected);
    for step in &steps {
        assert_eq!((&step["ok"], step["milliseconds"].is_number()), (&json!(true), true), "{step}");
        for member in ["access_token", "refresh_token", "id_token"] {
            let shown = step[member].as_str().unwrap_or("...");
            assert!(shown.len() <= 15 && shown.ends_with("..."), "{step}");
        }
    }
    assert_eq!((&steps[1]["home_idm_requests"], &steps[1]["partner_idm_requests"]), (&json!(1), &json!(1)));
    assert_eq!((&steps[2]["home_idm_requests"], &steps[2]["partner_idm_requests"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn the_lines_that_the_demo_prints_work_as_they_stand() {
    let mut demo = Serving::start(&["demo"]);
    let mut lines: Vec<String> = Vec::new();
    for line in demo.stdout.by_ref().lines().map_while(Result::ok) {
        let last = line.contains(" token login ");
        if !line.starts_with('#') && (last || line.starts_with("curl ")) {
            lines.push(line);
        }
        if last {
            break;
        }
    }
    assert_eq!(lines.len(), 5, "{lines:#?}");

    let login = lines.pop().expect("the last line");
    let curls: Vec<Curl> = lines.iter().map(|line| Curl::pasted(line)).collect();
    for (curl, expected) in
        curls.iter().zip(["\"access_token\"", "<display-name", "\"token_endpoint\"", "mcx_broker_"])
    {
        let (status, text) = curl.send().await;
        assert_eq!((status, text.contains(expected)), (200, true), "{curl:?}: {text}");
    }

    let exchange = &curls[0];
    let broker = exchange.url.trim_end_matches("/token");
    let resource = exchange.data.iter().find(|(name, _)| name == "resource").expect("a resource");
    let piped = |options: &str| {
        let exchange = format!(
            "'{PROGRAM}' token exchange --broker {broker} --client-id mcptt_client --resource {} {options}",
            resource.1
        );
        bash(&format!("set -o pipefail; {login} | {exchange}"))
    };
    let granted = piped("");
    assert_eq!((granted.code, granted.stderr.as_str()), (Some(0), ""), "{granted:?}");
    let granted: Value = serde_json::from_str(&granted.stdout).expect("JSON");
    assert!(granted["access_token"].is_string() && granted["expires_in"].is_u64(), "{granted}");

    let refused = piped("--scope 3gpp:mc:ptt_key_management_service");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    assert!(refused.stderr.starts_with("error: 400 invalid_scope: broker: "), "{refused:?}");

    let (code, rest) = demo.stop("-INT");
    assert_eq!((code, rest.as_str()), (Some(0), ""));
}

/// A `curl` line as the shell understands it. curl itself is not needed to run the tests.
#[derive(Debug)]
struct Curl {
    url: String,
    data: Vec<(String, String)>,
    authorization: Option<String>,
}

impl Curl {
    fn pasted(line: &str) -> Self {
        let words = bash(&format!("curl() {{ printf '%s\\n' \"$@\"; }}\n{line}")).stdout;
        let mut words = words.lines().map(str::to_owned);
        let mut curl = Self { url: String::new(), data: Vec::new(), authorization: None };
        while let Some(word) = words.next() {
            match word.as_str() {
                "-sS" => {}
                "-d" => {
                    let pair = words.next().expect("data");
                    let (name, value) = pair.split_once('=').expect("name=value");
                    curl.data.push((name.to_owned(), value.to_owned()));
                }
                "-H" => {
                    let header = words.next().expect("a header");
                    let value = header.strip_prefix("Authorization: ").expect("the only header there is");
                    curl.authorization = Some(value.to_owned());
                }
                _ => curl.url = word,
            }
        }
        curl
    }

    async fn send(&self) -> (u16, String) {
        let mut request = if self.data.is_empty() {
            http().get(&self.url)
        } else {
            http().post(&self.url).form(&self.data)
        };
        if let Some(value) = &self.authorization {
            request = request.header("authorization", value);
        }
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a whole answer"))
    }
}
