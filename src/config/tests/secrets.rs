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
