use super::*;

const CANARY: &str = "hunter2-CANARY";

#[test]
fn a_secret_in_the_wrong_place_or_of_the_wrong_type_is_not_shown() {
    let lines = [
        ("[admin]", "listen = \"CANARY\""),
        ("[admin]", "bearer_token = [\"CANARY\"]"),
        ("[admin]", "bearer_token_file = \"CANARY\""),
        ("[log]", "format = \"CANARY\""),
        ("[log]", "filter = \"a=CANARY=b\""),
        ("[server]", "max_body_bytes = \"CANARY\""),
        ("[server]", "request_timeout = \"CANARY\""),
        ("[server]", "issuer = \"CANARY\""),
        ("[server]", "issuer = \"https://user:CANARY@broker.example\""),
        ("[server]", "tls = \"CANARY\""),
        ("[home]", "algorithms = [\"CANARY\"]"),
        ("[home]", "token_profile = \"CANARY\""),
        ("[home]", "broker_named_in = [\"CANARY\"]"),
        ("[home]", "token_endpoint = \"{CANARY}\""),
        ("[home]", "preset = \"CANARY\""),
        ("[home.client]", "id = \"a\"\nsecret = { value = \"CANARY\" }"),
        ("[home.client]", "id = \"a\"\nauthentication = \"CANARY\""),
        ("[home.client]", "id = \"a\"\nsecret = \"CANARY\"\nsecret_file = \"CANARY\""),
        ("[home.security_token]", "scope = \"CANARY\""),
        ("[home.security_token]", "scope = [\"CANARY CANARY\"]"),
        ("[cache]", "redis = \"redis://user:CANARY@redis.example\""),
        ("[cache]", "redis = \"CANARY\""),
        ("[cache]", "redis = [\"redis://redis.example\", \"redis://user:CANARY@redis.example\"]"),
        ("[cache]", "redis = [\"redis://redis.example\", [\"CANARY\"]]"),
        ("[cache]", "redis = { url = \"CANARY\" }"),
        ("[cache]", "redis_deployment = \"CANARY\""),
        ("[cache]", "redis_primary = \"CANARY\""),
        ("[cache]", "redis_sentinel_password = \"CANARY\""),
        ("[cache]", "sealing_key_files = [\"CANARY\"]"),
        ("[signing]", "keys = [\"CANARY\"]"),
        ("[[clients]]", "id = \"a\"\nauthentication = \"none\"\npartners = [\"CANARY\"]"),
        ("[[clients]]", "id = \"a\"\nauthentication = \"none\"\nsecret = \"CANARY\""),
        ("[[clients]]", "id = \"a\"\nauthentication = \"none\"\nscopes = [\"CANARY\\\\CANARY\"]"),
    ];
    for (table, line) in lines {
        let problems = Setup::new(&format!("{table}\n{}\n", line.replace("CANARY", CANARY))).problems();
        let shown = format!("{problems} {problems:?}");
        assert!(!shown.contains("CANARY"), "{line}: {shown}");
    }
}

#[test]
fn the_same_in_the_environment_flags_and_partner_files() {
    let setup = Setup::new("")
        .environment("MCX_BROKER__SERVER__LISTEN", CANARY)
        .environment("MCX_BROKER__HOME__LEEWAY", CANARY)
        .flag("log.format", CANARY)
        .partner("a", &FIRE.replace("\"fire secret\"", &format!("[\"{CANARY}\"]")))
        .partner(
            "b",
            &FIRE.replace("id = \"mcx-home\"", &format!("id = \"x\"\nauthentication = \"{CANARY}\"")),
        )
        .partner("c", &format!("preset = \"{CANARY}\"\n{FIRE}"))
        .partner("d", &FIRE.replace("source = \"mint\"", &format!("source = \"{CANARY}\"")))
        .partner("e", &FIRE.replace("secret = \"fire secret\"", &format!("secret_file = \"{CANARY}\"")));
    let problems = setup.problems();
    assert!(problems.iter().count() >= 8, "{problems}");
    assert!(!format!("{problems} {problems:?}").contains("CANARY"), "{problems}");
}

#[test]
fn debug_shows_no_secret() {
    let setup = Setup::new(&format!(
        r#"
        [admin]
        bearer_token = "{CANARY}"
        [home.client]
        id = "broker"
        secret = "{CANARY}"
        [signing]
        keys = [{{ key_file = "key.pem" }}]
        [cache]
        redis = "rediss://redis.example/"
        redis_password = "{CANARY}"
        redis_deployment = "sentinel"
        redis_primary = "mcx"
        redis_sentinel_password = "{CANARY}"
        sealing_key_files = ["seal"]
        [[clients]]
        id = "client"
        authentication = "client_secret_post"
        secret = "{CANARY}"
        "#
    ))
    .file("key.pem", CANARY)
    .file("seal", "5e".repeat(32))
    .partner("fire", &FIRE.replace("fire secret", CANARY));
    let configuration = setup.load();
    let shown = format!("{configuration:?}");
    assert!(!shown.contains("CANARY"), "{shown}");
    assert!(!shown.contains("5e5e") && !shown.contains("94, 94"), "{shown}");
}

#[test]
fn a_secret_is_what_the_file_says_and_never_a_number() {
    for secret in ["0012", "1e3", "true", " padded ", "ümlaut", "a,b"] {
        let configuration = Setup::new(&format!("[admin]\nbearer_token = \"{secret}\"\n")).load();
        assert_eq!(configuration.admin.bearer_token.unwrap().expose(), secret);
    }
    for unquoted in ["1e3", "12", "true", "1979-05-27"] {
        let setup = Setup::new(&format!("[home.client]\nid = \"broker\"\nsecret = {unquoted}\n"));
        if unquoted == "1979-05-27" {
            assert!(setup.load().home.client.is_some(), "a date is its own text");
            continue;
        }
        assert!(setup.keys().contains(&"home.client.secret".to_owned()), "{unquoted}");
    }
}

#[test]
fn empty_secrets_and_secrets_stated_twice_are_refused() {
    let setup = Setup::new("[admin]\nbearer_token = \"\"\n");
    assert_eq!(setup.keys(), ["admin.bearer_token"]);
    let setup = Setup::new("[admin]\nbearer_token_file = \"empty\"\n").file("empty", "\n");
    assert_eq!(setup.keys(), ["admin.bearer_token_file"]);
    let setup = Setup::new("[admin]\nbearer_token = \"a\"\nbearer_token_file = \"b\"\n").file("b", "b");
    assert_eq!(setup.keys(), ["admin.bearer_token"]);
}

/// A broker file and a partner file, and all that they name that nobody else may see.
fn with_secret_files(more: &str) -> Setup {
    let broker = format!(
        r#"{more}
[admin]
bearer_token_file = "admin"
[signing]
keys = [{{ key_file = "signing" }}]
[cache]
redis = "rediss://127.0.0.1"
redis_password_file = "redis"
sealing_key_files = ["seal"]
[[clients]]
id = "dispatch"
authentication = "client_secret_basic"
secret_file = "dispatch"
"#
    );
    let partner = FIRE.replace("secret = \"fire secret\"", "secret_file = \"../fire\"");
    let setup = Setup::new(&broker).partner("fire", &partner).file("seal", "00".repeat(32));
    ["admin", "signing", "redis", "dispatch", "fire"].iter().fold(setup, |setup, name| setup.file(name, "s"))
}

const SECRET_FILES: [(&str, &str); 6] = [
    ("admin", "admin.bearer_token_file"),
    ("signing", "signing.keys[0].key_file"),
    ("seal", "cache.sealing_key_files[0]"),
    ("redis", "cache.redis_password_file"),
    ("dispatch", "clients[0].secret_file"),
    ("fire", "client.secret_file"),
];

#[test]
fn a_secret_that_others_may_write_is_refused_and_one_that_they_may_read_is_told() {
    assert_eq!(with_secret_files("").load().warnings, []);
    for (name, key) in SECRET_FILES {
        for mode in [0o640, 0o604, 0o444] {
            let setup = with_secret_files("").mode(name, mode);
            let warnings = setup.load().warnings;
            assert_eq!(warnings.len(), 1, "{name} {mode:o}: {warnings:?}");
            assert_eq!(warnings[0].key, key);
            assert!(warnings[0].problem.contains(&format!("{name} has mode {mode:04o}")), "{}", warnings[0]);
            assert!(warnings[0].remedy.starts_with("chmod 600 /"), "{}", warnings[0]);
        }
        for mode in [0o620, 0o602, 0o666] {
            let complaints = with_secret_files("").mode(name, mode).keys();
            assert_eq!(complaints, [key], "{name} {mode:o}");
        }
    }
}

#[test]
fn a_container_may_mount_its_secrets_readable_but_never_writable() {
    let stated = "[secrets]\nreadable_by_others = true";
    let all =
        |mode| SECRET_FILES.iter().fold(with_secret_files(stated), |setup, (name, _)| setup.mode(name, mode));
    assert_eq!(all(0o444).load().warnings, []);
    assert_eq!(all(0o664).keys().len(), SECRET_FILES.len());
}

#[test]
fn the_mode_of_a_link_is_that_of_the_file() {
    let setup = with_secret_files("").file("behind", "s").mode("behind", 0o640);
    std::fs::remove_file(setup.path().join("dispatch")).unwrap();
    std::os::unix::fs::symlink("behind", setup.path().join("dispatch")).unwrap();
    let keys: Vec<_> = setup.load().warnings.into_iter().map(|warning| warning.key).collect();
    assert_eq!(keys, ["clients[0].secret_file"]);
}
