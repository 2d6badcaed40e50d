use proptest::prelude::*;

use super::*;

#[test]
fn all_problems_of_all_files_come_at_once() {
    let setup = Setup::new(
        r#"
        [server]
        listen = "everywhere"
        token_path = "token"
        max_body_bytes = -1
        colour = "red"
        [admin]
        listen = "0.0.0.0:9090"
        [log]
        format = "xml"
        filter = "a=b=c"
        [home]
        audience = []
        algorithms = ["RS256", "HS256", "none"]
        leeway = "31s"
        introspection = "always"
        jwks_uri = "ftp://idm.example/keys"
        [signing]
        keys = [{ algorithm = "ES256" }, { key_file = "missing.pem" }]
        [cache]
        redis = "redis://user:hunter2@redis.example/0"
        sealing_key_files = ["missing"]
        remember_refusals = "2m"
        margin = "2 furlongs"
        [[clients]]
        id = "one"
        authentication = "client_secret_basic"
        partners = ["fire", "nobody"]
        [[clients]]
        id = "one"
        authentication = "tls_client_auth"
        [[clients]]
        id = "public"
        authentication = "none"
        subject_clients = ["*"]
        "#,
    )
    .partner("fire", &FIRE.replace("secret = \"fire secret\"", "authentication = \"carrier_pigeon\""))
    .partner("police", "resource = [");
    let broker = [
        "admin.bearer_token",
        "cache.margin",
        "cache.redis",
        "cache.remember_refusals",
        "cache.sealing_key_files[0]",
        "clients[0].partners[1]",
        "clients[0].secret",
        "clients[1].authentication",
        "clients[1].id",
        "clients[1].tls_client_auth_subject_dn",
        "clients[2].subject_clients",
        "home.algorithms[1]",
        "home.algorithms[2]",
        "home.audience",
        "home.client",
        "home.jwks_uri",
        "home.leeway",
        "log.filter",
        "log.format",
        "server.colour",
        "server.listen",
        "server.max_body_bytes",
        "server.token_path",
        "signing.keys[0].key_file",
        "signing.keys[1].key_file",
    ];
    let mut expected: Vec<(String, String)> =
        broker.map(|key| ("broker.toml".to_owned(), key.to_owned())).to_vec();
    expected.push(("partners/fire.toml".to_owned(), "client.authentication".to_owned()));
    expected.push(("partners/fire.toml".to_owned(), "client.secret".to_owned()));
    expected.push(("partners/police.toml".to_owned(), String::new()));
    let mut complaints = setup.complaints();
    complaints.sort();
    assert_eq!(complaints, expected);
}

#[test]
fn a_problem_is_one_line_of_file_key_problem_and_remedy() {
    let setup = Setup::new("[server]\nlisten = 8080\n");
    let shown = setup.problems().to_string();
    let expected = "broker.toml: server.listen: is not an address and port such as \"127.0.0.1:8080\": \
                    write an address and port such as \"127.0.0.1:8080\"";
    assert!(shown.ends_with(expected), "{shown}");
    assert_eq!(shown.lines().count(), 1);
}

#[test]
fn a_slip_of_the_pen_gets_the_nearest_key() {
    let problems = Setup::new("[home]\nintrospektion = \"never\"\n[sevrer]\n").problems();
    let remedies: Vec<&str> = problems.iter().map(|problem| problem.remedy.as_str()).collect();
    assert!(remedies[0].starts_with("did you mean introspection?"), "{remedies:?}");
    assert!(remedies[1].starts_with("did you mean server?"), "{remedies:?}");
}

#[test]
fn names_from_a_file_cannot_forge_lines() {
    let setup = Setup::new("\"x\\nbroker.toml: fine\" = 1\n");
    assert_eq!(setup.problems().to_string().lines().count(), 1);
}

#[test]
fn a_key_that_looks_like_an_index_is_only_a_key() {
    let setup = Setup::new("\"clients[99999999999999]\" = 1\n")
        .partner("fire", &format!("\"x[9223372036854775807]\" = 1\n\"y[-9223372036854775808]\" = 1\n{FIRE}"));
    assert_eq!(setup.keys().len(), 3);
}

#[test]
fn a_hundred_faults_end() {
    let lines: Vec<String> = (0..500).map(|number| format!("fault{number} = 1")).collect();
    assert_eq!(Setup::new(&lines.join("\n")).keys().len(), 100);
}

/// Lines that are nearly right get further than noise does.
fn line() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("resource"),
        Just("enabled"),
        Just("preset"),
        Just("domains"),
        Just("issuer"),
        Just("id"),
        Just("secret"),
        Just("secret_file"),
        Just("scope"),
        Just("audience"),
        Just("max_lifetime"),
        Just("parameters"),
        Just("allowed"),
        Just("map"),
        Just("\"a.b[7]\""),
        Just("source"),
        Just("typ"),
    ];
    let value = prop_oneof![
        Just("\"\""),
        Just("\"{issuer}/x\""),
        Just("\"{\""),
        Just("\"keycloak\""),
        Just("[]"),
        Just("[\"\"]"),
        Just("[[1], {}]"),
        Just("{ a = \"b\" }"),
        Just("-9223372036854775808"),
        Just("1e400"),
        Just("nan"),
        Just("true"),
        Just("1979-05-27"),
        Just("\"999999999999999999y\""),
        Just("\"http://[::1\""),
        Just("\"mint\""),
    ];
    let table = prop_oneof![
        Just("[client]"),
        Just("[idm]"),
        Just("[security_token]"),
        Just("[security_token.mint]"),
        Just("[grant]"),
        Just("[scopes]"),
        Just("[connection]"),
        Just("[[client]]"),
        Just("[grant.parameters]"),
    ];
    prop_oneof![
        4 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => table.prop_map(str::to_owned),
        1 => ".{0,30}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_partner_file_panics(lines in prop::collection::vec(line(), 0..12)) {
        let defaults = load(&Sources::default()).unwrap().partner_defaults;
        let text = lines.join("\n");
        if let Err(problems) = super::partner::parse_partner(Path::new("fire.toml"), &text, &defaults) {
            prop_assert!(problems.iter().count() > 0);
        }
    }
}

/// What a table of `levels` is nested by: the parts of keys count as much as brackets do.
fn nested(levels: usize, parts: usize) -> String {
    let key = vec!["a"; parts].join(".");
    let (open, close) = (format!("{key} = {{ ").repeat(levels), " }".repeat(levels));
    format!("[{key}]\n{open}x = 1{close}\n")
}

/// The stack of a thread of the runtime holds a third of what the toml crate lets through.
#[test]
fn depth_that_overflows_a_stack_is_a_problem_of_the_file() {
    let problem = |text: &str| {
        let problems = super::partner(text).unwrap_err().into_iter();
        problems.map(|problem| (problem.key, problem.problem)).next().unwrap()
    };
    for (levels, parts) in [(78, 79), (40, 79), (20, 1), (1, 17)] {
        let (key, problem) = problem(&nested(levels, parts));
        assert!(key.is_empty() && problem.contains("levels deep"), "{levels} {parts}: {problem}");
    }
    for text in [nested(100, 1), nested(1, 100), nested(78, 79) + "a = 1\n[", nested(78, 79).repeat(2)] {
        let (key, problem) = problem(&text);
        assert!(key.is_empty() && problem.starts_with("not TOML"), "{problem}");
    }
    let (key, _) = problem(&nested(1, 5));
    assert_eq!(key, "a", "what is not too deep is read");
}

#[test]
fn placeholders_do_not_multiply_a_file() {
    let issuer = format!("https://fire.example/{}", "x".repeat(4000));
    let text = FIRE
        .replace("https://idm.fire.example", &issuer)
        .replace("source = \"mint\"", &format!("audience = \"{}\"", "{issuer}".repeat(50_000)));
    let problems = super::partner(&text).unwrap_err();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["security_token.audience"]);
}
