use std::time::Duration;

use super::*;

#[test]
fn later_files_then_the_environment_then_flags_win() {
    let setup = Setup::new(
        "[server]\nlisten = \"127.0.0.1:1\"\nrequest_timeout = \"1s\"\n[log]\nfilter = \"warn\"\n",
    )
    .file("second.toml", "[server]\nlisten = \"127.0.0.1:2\"\nshutdown_grace = \"2s\"\n")
    .environment("MCX_BROKER__SERVER__SHUTDOWN_GRACE", "3s")
    .environment("MCX_BROKER__SERVER__TOKEN_PATH", "/three")
    .environment("MCX_BROKERAGE__SERVER__TOKEN_PATH", "/elsewhere")
    .flag("server.token_path", "/four");
    let mut setup = setup;
    setup.sources.files.push(setup.path().join("second.toml"));
    let Configuration { server, log, .. } = setup.load();
    assert_eq!(server.listen.port(), 2);
    assert_eq!(server.request_timeout, Duration::from_secs(1));
    assert_eq!(server.shutdown_grace, Duration::from_secs(3));
    assert_eq!(server.token_path, "/four");
    assert_eq!(log.filter, "warn");
}

#[test]
fn the_type_of_a_key_decides_how_environment_and_flags_are_read() {
    let configuration = Setup::new("[cache]\nsealing_key_files = [\"seal\"]\n")
        .file("seal", "00".repeat(32))
        .environment("MCX_BROKER__ADMIN__BEARER_TOKEN", "0012")
        .environment("MCX_BROKER__HOME__CLIENT__ID", "true")
        .environment("MCX_BROKER__HOME__CLIENT__SECRET", "1e3")
        .environment("MCX_BROKER__HOME__AUDIENCE", "mcx, 7")
        .environment("MCX_BROKER__HOME__TYP", "at+jwt,")
        .environment("MCX_BROKER__HOME__CLIENT_ID_CLAIMS", "azp")
        .environment("MCX_BROKER__HOME__DISCOVERY", "false")
        .environment("MCX_BROKER__HOME__JWKS_URI", "https://idm.example/jwks")
        .environment("MCX_BROKER__LOG__FORMAT", "json")
        .environment("MCX_BROKER__CACHE__REDIS", "redis://127.0.0.1/2, redis://127.0.0.1:6380")
        .environment("MCX_BROKER__CACHE__REDIS_DEPLOYMENT", "sentinel")
        .environment("MCX_BROKER__CACHE__REDIS_PRIMARY", "mcx")
        .environment("MCX_BROKER__CACHE__REDIS_SENTINEL_PASSWORD", "0012")
        .flag("server.max_body_bytes", "70000")
        .load();
    assert_eq!(configuration.admin.bearer_token.unwrap().expose(), "0012");
    let client = configuration.home.client.unwrap();
    assert_eq!(client.id, "true");
    let Authentication::ClientSecretBasic { secret, .. } = client.authentication else { panic!("not basic") };
    assert_eq!(secret.expose(), "1e3");
    assert_eq!(configuration.home.audience, ["mcx", "7"]);
    assert_eq!(configuration.home.typ, ["at+jwt", ""]);
    assert!(!configuration.home.discovery);
    assert_eq!(configuration.log.format, LogFormat::Json);
    let redis = configuration.cache.redis.unwrap();
    assert_eq!(redis.urls, ["redis://127.0.0.1/2", "redis://127.0.0.1:6380"]);
    let RedisDeployment::Sentinel { primary, user, password } = redis.deployment else {
        panic!("no Sentinel")
    };
    assert_eq!((primary.as_str(), user, password.unwrap().secret.expose()), ("mcx", None, "0012"));
    assert_eq!(configuration.server.max_body_bytes, 70_000);
}

#[test]
fn problems_name_the_variable_or_the_flag() {
    let setup = Setup::new("")
        .environment("MCX_BROKER__SERVER__MAX_BODY_BYTES", "many")
        .environment("MCX_BROKER__SERVER__LISTENING", "x")
        .environment("MCX_BROKER__BROKEN[99999999999999999999]", "x")
        .flag("home.leeway", "1h")
        .flag("home..leeway", "1h");
    let expected = [
        ("environment MCX_BROKER__BROKEN[99999999999999999999]", "broken[99999999999999999999]"),
        ("environment MCX_BROKER__SERVER__LISTENING", "server.listening"),
        ("environment MCX_BROKER__SERVER__MAX_BODY_BYTES", "server.max_body_bytes"),
        ("flag", "home..leeway"),
        ("flag", "home.leeway"),
    ];
    let mut complaints = setup.complaints();
    complaints.sort();
    assert_eq!(complaints, expected.map(|(file, key)| (file.to_owned(), key.to_owned())));
}

#[test]
fn tables_merge_and_lists_are_replaced() {
    let mut setup = Setup::new("[home]\nissuer = \"https://one.example\"\naudience = [\"one\", \"two\"]\n")
        .file("second.toml", "[home]\naudience = [\"three\"]\n");
    setup.sources.files.push(setup.path().join("second.toml"));
    let home = setup.load().home;
    assert_eq!(home.issuer, "https://one.example");
    assert_eq!(home.audience, ["three"]);
}

#[test]
fn the_security_token_has_five_layers() {
    let setup = Setup::new(
        r#"
        [home]
        preset = "keycloak"
        [home.client]
        id = "broker"
        secret = "s"
        [home.security_token]
        min_remaining = "7s"
        max_lifetime = "200s"
        parameters = { home = "1", both = "home" }
        "#,
    )
    .partner(
        "fire",
        &(FIRE.replace("source = \"mint\"", "max_lifetime = \"100s\"\nparameters = { both = \"partner\" }")
            + "[grant]\n"),
    );
    let setup = setup.partner(
        "police",
        &("preset = \"keycloak\"\n".to_owned()
            + &FIRE.replace("fire.example", "police.example").replace("source = \"mint\"", "")),
    );
    let partners = setup.load().partners;
    let [fire, police] = &partners[..] else { panic!("{partners:?}") };
    let plan = |partner: &PartnerFile| match &partner.security_token.source {
        crate::oauth::security_token::SecurityTokenSource::Exchange(plan) => plan.clone(),
        mint @ crate::oauth::security_token::SecurityTokenSource::Mint(_) => panic!("{mint:?}"),
    };
    assert_eq!(plan(fire).resource, None, "the home preset over the built-in default");
    assert_eq!(plan(fire).audience.as_deref(), Some("https://idm.fire.example"));
    assert_eq!(fire.security_token.demands.min_remaining, Duration::from_secs(7), "the operator's [home]");
    assert_eq!(fire.security_token.demands.max_lifetime, Some(Duration::from_secs(100)), "the partner file");
    let parameters = plan(fire).parameters;
    assert_eq!(parameters, [("both", "partner"), ("home", "1")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!(
        police.security_token.demands.max_lifetime,
        Some(Duration::from_secs(300)),
        "the partner preset"
    );
    assert!(police.security_token.demands.single_audience);
}
