use super::*;

#[test]
fn the_embedded_defaults_run_as_they_are() {
    let configuration = load(&Sources::default()).unwrap();
    assert!(configuration.partners.is_empty());
    assert_eq!(configuration.server.listen.port(), 8080);
    assert!(configuration.admin.listen.ip().is_loopback());
}

#[test]
fn the_embedded_file_states_the_built_in_defaults() {
    let resolved = |layers: Vec<Layer>| {
        let mut problems = Vec::new();
        let mut tree = Tree::new(layers, String::new());
        let table: BrokerTable = read::read(&mut tree, &mut problems).unwrap();
        assert_eq!(problems, []);
        format!("{table:?}")
    };
    let named = "[home]\nissuer = \"http://127.0.0.1:8081\"\naudience = [\"mcx\"]\n";
    let embedded = resolved(vec![Layer::from_toml(DEFAULT, EMBEDDED).unwrap()]);
    assert_eq!(embedded, resolved(vec![Layer::from_toml(named, "test").unwrap()]));
}

#[test]
fn a_file_that_is_not_there_not_text_or_too_large_is_a_problem_of_its_own() {
    let setup = Setup::new("[log]\nfilter = \"debug\"\n")
        .file("partners/binary.toml", [0x66, 0xff, 0xfe])
        .file("partners/huge.toml", vec![b'#'; 1024 * 1024 + 1])
        .file("partners/Not An Id.toml", FIRE)
        .file("partners/.hidden.toml", "not even TOML")
        .file("partners/notes.txt", "not even TOML")
        .partner("fire", FIRE);
    std::fs::create_dir(setup.path().join("partners/directory.toml")).unwrap();
    let files: Vec<String> = setup.complaints().into_iter().map(|(file, _)| file).collect();
    let expected =
        ["partners/Not An Id.toml", "partners/binary.toml", "partners/directory.toml", "partners/huge.toml"];
    assert_eq!(files, expected);
}

#[test]
fn a_missing_broker_file_is_a_problem() {
    let mut setup = Setup::new("");
    setup.sources.files.push(setup.path().join("missing.toml"));
    assert_eq!(setup.complaints(), [("missing.toml".to_owned(), String::new())]);
}

#[test]
fn a_missing_partner_directory_is_a_problem_only_when_it_was_named() {
    let mut setup = Setup::new("");
    setup.sources.partners = Some(setup.path().join("nowhere"));
    assert_eq!(setup.keys(), ["partners.directory"]);
    let setup = Setup::new("[partners]\ndirectory = \"nowhere\"\n");
    let sources = Sources { partners: None, ..setup.sources.clone() };
    assert_eq!(load(&sources).unwrap_err().iter().next().unwrap().key, "partners.directory");
}

#[test]
fn a_syntax_error_has_line_and_column_and_no_text_of_the_file() {
    let setup =
        Setup::new("[log]\nfilter = hunter2\n").partner("fire", "resource = \"x\"\nresource = \"hunter2\"\n");
    let shown = setup.problems().to_string();
    assert!(shown.contains("broker.toml: not TOML at line 2, column 10"), "{shown}");
    assert!(shown.contains("fire.toml: not TOML at line 2, column 1"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn named_files_start_at_the_file_that_names_them_and_lose_one_line_end() {
    let setup = Setup::new("")
        .file("partners/secret", "  two words \r\n")
        .partner("fire", &FIRE.replace("secret = \"fire secret\"", "secret_file = \"secret\""));
    let configuration = setup.load();
    let Authentication::ClientSecretBasic { secret, .. } = &configuration.partners[0].client.authentication
    else {
        panic!("{:?}", configuration.partners[0].client);
    };
    assert_eq!(secret.expose(), "  two words ");
}

#[test]
fn keys_certificates_and_key_sets_are_read() {
    let setup = Setup::new(
        r#"
        [server]
        tls = { certificate_file = "public.pem", key_file = "private.pem" }
        [home]
        jwks_file = "jwks.json"
        [home.client]
        id = "broker"
        authentication = "tls_client_auth"
        certificate_file = "public.pem"
        key_file = "private.pem"
        [signing]
        keys = [{ key_file = "private.pem", algorithm = "ES256", kid = "one" }]
        [cache]
        redis = "rediss://broker@redis.example/0"
        redis_password_file = "private.pem"
        sealing_key_files = ["hex", "base64"]
        [[clients]]
        id = "client"
        authentication = "private_key_jwt"
        jwks_file = "jwks.json"
        "#,
    )
    .file("public.pem", "public")
    .file("private.pem", "private")
    .file("jwks.json", "{}")
    .file("hex", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n")
    .file("base64", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n");
    let configuration = setup.load();
    assert_eq!(configuration.server.tls.unwrap().certificate.text, "public");
    assert_eq!(configuration.home.jwks.unwrap().text, "{}");
    assert_eq!(configuration.signing[0].key.content.expose(), "private");
    let keys = &configuration.cache.sealing_keys;
    assert_eq!(keys[0].as_bytes()[31], 31);
    assert_eq!(keys[0].as_bytes(), keys[1].as_bytes());
    assert_eq!(configuration.cache.memory_max_age, Some(std::time::Duration::from_secs(5)));
    assert!(matches!(configuration.clients[0].authentication, CallerAuthentication::PrivateKeyJwt { .. }));
}
