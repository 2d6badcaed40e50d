use super::*;

/// Each broker file with the keys that are complained of.
#[test]
fn what_a_broker_file_must_not_say() {
    let home = "[home]\nissuer = \"https://idm.example\"\n";
    for (text, keys) in [
        ("[server]\ntoken_path = \"/jwks\"", vec!["server.token_path"]),
        ("[server]\ntoken_path = \"/a?b\"", vec!["server.token_path"]),
        ("[server]\nmax_body_bytes = 1000", vec!["server.max_body_bytes"]),
        ("[server]\nmax_token_bytes = 10", vec!["server.max_token_bytes"]),
        ("[server]\nworkers = 0", vec!["server.workers"]),
        ("[server]\nlisten = \"0.0.0.0:8080\"", vec!["server.issuer"]),
        ("[server]\nissuer = \"\"", vec!["server.issuer"]),
        ("[server]\nissuer = \"https://b.example/#x\"", vec!["server.issuer"]),
        ("[server.tls]\ncertificate_file = \"broker.toml\"", vec!["server.tls.key_file"]),
        ("[server]\nrequest_timeout = \"0s\"", vec!["server.request_timeout"]),
        ("[server]\nrequest_timeout = 15", vec!["server.request_timeout"]),
        ("[admin]\nlisten = \"0.0.0.0:9090\"\nbearer_token = \"t\"", vec![]),
        ("[home]\nissuer = \"\"", vec!["home.issuer"]),
        ("[home]\nissuer = \"\"\ntoken_profile = \"ts33180\"\njwks_uri = \"https://k.example\"", vec![]),
        ("[home]\nissuer = \"IdMS.server.com:9031\"", vec!["home.issuer"]),
        ("[home]\nissuer = \"IdMS.server.com:9031\"\njwks_uri = \"https://k.example\"", vec![]),
        ("[home]\nissuer = \"http://idm.example\"", vec!["home.issuer"]),
        ("[home]\nissuer = \"http://idm.example\"\nconnection.allow_http = true", vec![]),
        ("[home]\nissuer = \"http://[::1]:8081\"", vec![]),
        ("[home]\ndiscovery = false", vec!["home.jwks_uri"]),
        ("[home]\njwks_uri = \"https://k.example\"\njwks_file = \"broker.toml\"", vec!["home.jwks_uri"]),
        ("[home]\ntoken_endpoint = \"https://a:b@idm.example\"", vec!["home.token_endpoint"]),
        ("[home]\ntoken_endpoint = \"/token\"", vec!["home.token_endpoint"]),
        ("[home]\naudience = [\"a\", \"a\"]", vec!["home.audience[1]"]),
        ("[home]\nleeway = \"30s\"", vec![]),
        ("[home]\nintrospection_cache = \"31s\"", vec!["home.introspection_cache"]),
        ("[home]\nsubject_claims = []", vec!["home.subject_claims"]),
        ("[home]\nbroker_named_in = [\"aud\"]", vec!["home.client"]),
        ("[home.client]\nid = \"a\"", vec!["home.client.secret"]),
        ("[home.client]\nsecret = \"a\"", vec!["home.client.id"]),
        ("[home.client]\nid = \"a\"\nauthentication = \"none\"\nsecret = \"s\"", vec!["home.client.secret"]),
        ("[home.client]\nid = \"a\"\nauthentication = \"private_key_jwt\"", vec!["home.client.key_file"]),
        (
            "[home.client]\nid = \"a\"\nauthentication = \"tls_client_auth\"",
            vec!["home.client.certificate_file", "home.client.key_file"],
        ),
        (
            "[home.client]\nauthentication = \"none\"\nforward_client_id = true",
            vec!["home.client.forward_client_id"],
        ),
        ("[home.connection]\nca_file = \"missing.pem\"", vec!["home.connection.ca_file"]),
        ("[home.connection]\ntimeout = \"1h\"", vec!["home.connection.timeout"]),
        ("[home.security_token]\nalgorithm = [\"RS256\"]", vec!["home.security_token.algorithm"]),
        ("[cache]\nredis = \"redis://127.0.0.1\"", vec![]),
        (
            "[cache]\nredis = [\"redis://127.0.0.1\", \"redis://[::1]\"]\nredis_deployment = \"cluster\"",
            vec![],
        ),
        ("[cache]\nredis = []", vec![]),
        ("[cache]\nredis = 7", vec!["cache.redis"]),
        ("[cache]\nredis_deployment = \"replicated\"", vec!["cache.redis_deployment"]),
        ("[cache]\nredis_deployment = \"sentinel\"", vec!["cache.redis_primary"]),
        ("[cache]\nredis_deployment = \"sentinel\"\nredis_primary = \"\"", vec!["cache.redis_primary"]),
        ("[cache]\nredis_deployment = \"sentinel\"\nredis_primary = \"mcx\"", vec![]),
        ("[cache]\nredis_primary = \"mcx\"", vec!["cache.redis_primary"]),
        (
            "[cache]\nredis_deployment = \"cluster\"\nredis_sentinel_user = \"a\"\nredis_sentinel_password = \"b\"",
            vec!["cache.redis_sentinel_user", "cache.redis_sentinel_password"],
        ),
        ("[cache]\nsealing_key_files = [\"broker.toml\"]", vec!["cache.sealing_key_files[0]"]),
        ("[cache]\nmargin = \"2h\"\nmax_lifetime = \"1h\"", vec!["cache.margin", "cache.max_lifetime"]),
        ("[[clients]]\nauthentication = \"none\"", vec!["clients[0].id"]),
        ("[[clients]]\nid = \"a\"", vec!["clients[0].authentication"]),
        ("[[clients]]\nid = \"a\"\nauthentication = \"none\"\npartners = [\"*\"]", vec![]),
        (
            "[[clients]]\nid = \"a\"\nauthentication = \"none\"\npartners = [\"*\", \"*\"]",
            vec!["clients[0].partners[1]", "clients[0].partners"],
        ),
        (
            "[[clients]]\nid = \"a\"\nauthentication = \"private_key_jwt\"\nalgorithms = [\"HS256\"]",
            vec!["clients[0].jwks_file", "clients[0].algorithms[0]"],
        ),
        ("clients = [\"a\", 7]", vec!["clients[0]", "clients[1]"]),
        ("server = 7", vec!["server"]),
    ] {
        let text = if text.contains("[home]") { text.to_owned() } else { format!("{text}\n{home}") };
        let setup = Setup::new(&text);
        let found = load(&setup.sources).map_or_else(|_| setup.keys(), |_| Vec::new());
        assert_eq!(found, keys, "{text}");
    }
}

/// Each deployment of Redis with the keys that are complained of.
#[test]
fn which_urls_of_redis_go_together() {
    for (deployment, urls, keys) in [
        ("single", vec!["redis://127.0.0.1/3"], vec![]),
        ("single", vec!["redis://127.0.0.1", "redis://[::1]"], vec!["cache.redis"]),
        ("single", vec!["rediss://127.0.0.1/#insecure"], vec!["cache.redis"]),
        ("cluster", vec!["redis://127.0.0.1/3"], vec!["cache.redis"]),
        ("cluster", vec!["redis://127.0.0.1/0", "redis://127.0.0.1:6380/"], vec![]),
        ("cluster", vec!["redis://127.0.0.1/3", "redis://127.0.0.1:6380/3"], vec!["cache.redis[0]"]),
        ("cluster", vec!["redis://127.0.0.1", "rediss://127.0.0.1"], vec!["cache.redis[1]"]),
        ("cluster", vec!["redis://u@127.0.0.1", "redis://127.0.0.1:6380"], vec![]),
        ("cluster", vec!["redis://127.0.0.1", "redis://u@127.0.0.1"], vec!["cache.redis[1]"]),
        ("cluster", vec!["nonsense", "redis://a:b@127.0.0.1"], vec!["cache.redis[0]", "cache.redis[1]"]),
        ("sentinel", vec!["redis://u@127.0.0.1/3", "redis://u@127.0.0.1:1/3", "redis://127.0.0.1:2"], vec![]),
        ("sentinel", vec!["redis://127.0.0.1/3", "redis://127.0.0.1:1/4"], vec!["cache.redis[1]"]),
        ("sentinel", vec!["redis://127.0.0.1", "http://127.0.0.1"], vec!["cache.redis[1]"]),
    ] {
        let primary = if deployment == "sentinel" { "redis_primary = \"mcx\"" } else { "" };
        let text = format!(
            "[cache]\nredis = {urls:?}\nredis_deployment = \"{deployment}\"\n{primary}\nsealing_key_files = [\"seal\"]"
        );
        let setup = Setup::new(&text).file("seal", "00".repeat(32));
        let found = load(&setup.sources).map_or_else(|_| setup.keys(), |_| Vec::new());
        assert_eq!(found, keys, "{text}");
    }
}

#[test]
fn redis_over_a_network_without_tls_is_a_warning_once() {
    let urls = "redis = [\"redis://127.0.0.1\", \"redis://one.example\", \"redis://two.example\"]";
    let text = format!("[cache]\n{urls}\nredis_deployment = \"cluster\"\nsealing_key_files = [\"seal\"]");
    let warnings = Setup::new(&text).file("seal", "00".repeat(32)).load().warnings;
    assert_eq!(warnings.iter().filter(|warning| warning.key == "cache.redis").count(), 1);
}

#[test]
fn redis_without_a_sealing_key_is_a_warning_that_says_what_it_means() {
    let warnings = Setup::new("[cache]\nredis = \"redis://127.0.0.1\"").load().warnings;
    let warning = warnings.iter().find(|warning| warning.key == "cache.sealing_key_files").unwrap();
    assert!(warning.problem.contains("replicas do not share tokens"), "{warning:?}");
}

/// Each addition to a good partner file with the keys that are complained of.
#[test]
fn what_a_partner_file_must_not_say() {
    for (from, to, keys) in [
        ("resource = \"https://idm.fire.example\"", "", vec!["resource"]),
        ("resource = \"https://idm.fire.example\"", "resource = \"a b\"", vec!["resource"]),
        ("issuer = \"https:", "issuer = \"http:", vec!["idm.issuer"]),
        ("issuer = \"https:", "discovery = false\nissuer = \"https:", vec!["idm.token_endpoint"]),
        ("secret = \"fire secret\"", "", vec!["client.secret"]),
        ("id = \"mcx-home\"", "", vec!["client.id"]),
        ("id = \"mcx-home\"", "forward_client_id = true", vec!["client.forward_client_id"]),
        (
            "id = \"mcx-home\"\nsecret = \"fire secret\"",
            "authentication = \"none\"\nforward_client_id = true",
            vec![],
        ),
        ("allowed = [\"openid\", ", "allowed = [", vec![]),
        (
            "allowed = [\"openid\", \"3gpp:mc:ptt_group_management_service\"]",
            "",
            vec!["scopes.allowed", "scopes.default"],
        ),
        ("[scopes]", "[scopes]\nmap = { openid = \"a b\" }", vec!["scopes.map.openid"]),
        ("[scopes]", "[scopes]\nmap = { other = \"x\" }", vec!["scopes.map.other"]),
        (
            "[scopes]",
            "[scopes]\nmap = { openid = \"3gpp:mc:ptt_group_management_service\" }",
            vec!["scopes.map"],
        ),
        ("[scopes]", "[grant]\ntype = \"password\"\n[scopes]", vec!["grant.type"]),
        ("[scopes]", "[grant]\nassumed_lifetime = \"0s\"\n[scopes]", vec![]),
        ("[scopes]", "[grant]\nmax_lifetime = \"0s\"\n[scopes]", vec!["grant.max_lifetime"]),
        ("[scopes]", "[grant]\ntoken_types = []\n[scopes]", vec!["grant.token_types"]),
        ("[scopes]", "[grant]\nscope = \"everything\"\n[scopes]", vec!["grant.scope"]),
        (
            "[scopes]",
            "[grant.parameters]\ngrant_type = \"password\"\n[scopes]",
            vec!["grant.parameters.grant_type"],
        ),
        (
            "source = \"mint\"",
            "parameters = { client_secret = \"x\" }",
            vec!["security_token.parameters.client_secret"],
        ),
        ("source = \"mint\"", "algorithms = [\"none\"]", vec!["security_token.algorithms[0]"]),
        ("source = \"mint\"", "send = [\"subject\"]", vec!["security_token.send[0]"]),
        ("source = \"mint\"", "max_lifetime = \"5s\"", vec!["security_token.min_remaining"]),
    ] {
        assert!(FIRE.contains(from), "{from}");
        let found = match partner(&FIRE.replace(from, to)) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_iter().map(|problem| problem.key).collect(),
        };
        assert_eq!(found, keys, "{to}");
    }
}

#[test]
fn exchanging_needs_a_registration_at_home() {
    let setup = Setup::new("").partner("fire", &FIRE.replace("source = \"mint\"", ""));
    assert_eq!(setup.keys(), ["security_token.source"]);
}

#[test]
fn the_profile_decides_which_claims_are_required_and_how_the_subject_token_is_called() {
    let required = |text: &str| Setup::new(text).load().home.required_claims;
    assert_eq!(required(""), ["iss", "aud", "sub", "exp", "client_id"]);
    assert_eq!(required("[home]\ntoken_profile = \"ts33180\"\n"), ["exp", "client_id"]);
    assert_eq!(required("[home]\nrequired_claims = [\"exp\"]\n"), ["exp"]);
    let broker = "[home]\ntoken_profile = \"ts33180\"\n[home.client]\nid = \"b\"\nsecret = \"s\"\n";
    let configuration = Setup::new(broker).partner("fire", &FIRE.replace("source = \"mint\"", "")).load();
    let source = &configuration.partners[0].security_token.source;
    let crate::oauth::security_token::SecurityTokenSource::Exchange(plan) = source else {
        panic!("{source:?}")
    };
    assert_eq!(plan.subject_token_type, crate::oauth::token_type::JWT);
}

#[test]
fn a_client_may_present_its_own_tokens_only_unless_said_otherwise() {
    let text = "[[clients]]\nid = \"a\"\nauthentication = \"client_secret_basic\"\nsecret = \"s\"\n";
    let own = &Setup::new(text).load().clients[0];
    assert!(own.subject_clients.contains("a") && !own.subject_clients.contains("b"));
    assert!(!own.partners.contains("fire"), "no partner unless stated");
    let any =
        &Setup::new(&format!("{text}subject_clients = [\"*\"]\npartners = [\"*\"]\n")).load().clients[0];
    assert!(any.subject_clients.contains("b") && any.partners.contains("fire"));
}
