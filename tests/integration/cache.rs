//! The token cache: one contract, held by memory alone, by Redis alone, and by both together; and what only Redis can
//! get wrong, because others can read and write it.

use std::time::Duration;

use mcx_token_broker::jose::{Algorithm, SigningKey};
use mcx_token_broker::sandbox::{Endpoint, Fault, Sandbox, SandboxOptions, TrustedIssuer};
use redis::Commands as _;
use serde_json::{Map, json};

use crate::support::broker::{Answer, Broker};
use crate::support::federation::{
    CLIENT, Federation, GROUP_MANAGEMENT, PARTNER, Setup, broker_toml, merged, partner_toml,
};
use crate::support::redis::Redis;

const OTHER_CLIENT: &str = "mcvideo_client";

/// The tiers that the contract is asked of.
#[derive(Debug, Clone, Copy)]
enum Tiers {
    Memory,
    Redis,
    Both,
}

const ALL: [Tiers; 3] = [Tiers::Memory, Tiers::Redis, Tiers::Both];

/// A federation whose broker keeps tokens in some tiers.
struct Ground {
    federation: Federation,
    redis: Option<Redis>,
    keys: tempfile::TempDir,
}

impl Ground {
    async fn new(tiers: Tiers) -> Self {
        Self::with(tiers, "").await
    }

    async fn with(tiers: Tiers, changes: &str) -> Self {
        let keys = tempfile::tempdir().unwrap();
        for (file, digit) in [("one", "1"), ("other", "2")] {
            std::fs::write(keys.path().join(file), digit.repeat(64)).unwrap();
        }
        let redis = match tiers {
            Tiers::Memory => None,
            Tiers::Redis | Tiers::Both => Some(Redis::start()),
        };
        let max_age = if matches!(tiers, Tiers::Redis) { "0s" } else { "5s" };
        let toml = match &redis {
            None => String::new(),
            Some(redis) => cache_toml(redis, &keys, "one", max_age),
        };
        let federation = Setup::new().broker(&merged(&toml, changes)).start().await;
        Self { federation, redis, keys }
    }

    fn redis(&self) -> &Redis {
        self.redis.as_ref().unwrap()
    }

    /// Another replica on the same Redis, that asks it each time.
    fn replica(&self, key: &str, broker: &str, partner: &str) -> Broker {
        let cache = cache_toml(self.redis(), &self.keys, key, "0s");
        self.federation.another_broker(&merged(&cache, broker), partner)
    }

    /// How many grants the partner was asked for.
    fn grants(&self) -> usize {
        self.federation.partner.requests(Endpoint::Token)
    }

    async fn token(&self, user: &str) -> String {
        let answer = self.federation.exchange_token(&self.federation.home_token(user), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text_of("access_token")
    }

    async fn token_at(&self, broker: &Broker, user: &str) -> String {
        let answer = self.federation.exchange_at(broker, &self.federation.home_token(user), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text_of("access_token")
    }
}

fn cache_toml(redis: &Redis, keys: &tempfile::TempDir, key: &str, max_age: &str) -> String {
    let (url, key) = (redis.url(), keys.path().join(key));
    format!(
        r#"
        [cache]
        redis = "{url}"
        redis_timeout = "2s"
        memory_max_age = "{max_age}"
        sealing_key_files = ["{}"]
        "#,
        key.display()
    )
}

/// The keys of users; there is one more, with what replicas agree on.
fn keys_of(redis: &Redis) -> Vec<String> {
    redis.connection().keys("mcx:token:*").unwrap()
}

/// The only entry of a user: its field and its sealed value.
fn entry_of(redis: &Redis, key: &str) -> (Vec<u8>, Vec<u8>) {
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = redis.connection().hgetall(key).unwrap();
    assert_eq!(entries.len(), 1, "one entry and no lock");
    entries.remove(0)
}

/// One account, signed in under one MCPTT id and then under another, at a partner that knows users by that id, or by a
/// claim that is copied: each is somebody else there.
#[tokio::test(flavor = "multi_thread")]
async fn one_account_under_two_mcx_ids_is_two_users() {
    const MINT: &str = "[security_token]\nsource = \"mint\"";
    for (partner, claim, one, other) in [
        ("", "mcptt_id", json!("sip:chief@mcx.example"), json!("sip:driver@mcx.example")),
        (MINT, "mcdata_id", json!("sip:chief@mcx.example"), json!("sip:driver@mcx.example")),
        (
            "[security_token]\nsource = \"mint\"\nmint.copied_claims = [\"rank\"]",
            "rank",
            json!({"grade": 1}),
            json!({"grade": 9}),
        ),
        (
            "[security_token]\nsource = \"mint\"\nmint.subject_claim = \"badge\"",
            "badge",
            json!("alice@mcx.example"),
            json!("bob@mcx.example"),
        ),
    ] {
        let federation = Setup::new().quick_keys().partner(partner).start().await;
        let token_as = async |value: &serde_json::Value| {
            let token = federation.home_token_with("alice", json!({ claim: value }));
            let answer = federation.exchange_token(&token, &[]).await;
            assert_eq!(answer.status, 200, "{claim}: {}", answer.text);
            answer.text_of("access_token")
        };
        let first = token_as(&one).await;
        assert_ne!(first, token_as(&other).await, "{claim}: another id's token");
        assert_eq!(first, token_as(&one).await, "{claim}: kept for this id");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_one_users_at_one_client_for_one_partner_and_one_set_of_scopes() {
    for tiers in ALL {
        let mut ground = Ground::new(tiers).await;
        let other = other_partner(&ground).await;
        ground.federation.broker = broker_with_two_of_each(&ground, &other);
        let federation = &ground.federation;
        let no_claims = Map::new();
        let token_of = |user, client| {
            let scope = format!("openid {GROUP_MANAGEMENT}");
            federation.home.issue_access_token(user, client, &scope, &no_claims).unwrap().expose().to_owned()
        };
        let (alice, bob) = (token_of("alice", CLIENT), token_of("bob", CLIENT));
        let elsewhere = token_of("alice", OTHER_CLIENT);
        let both_scopes = format!("openid {GROUP_MANAGEMENT}");
        let reversed = format!("{GROUP_MANAGEMENT} openid");
        let resource = other.issuer();
        let mut seen: Vec<String> = Vec::new();
        for (what, token, changes, same_as) in [
            ("first", &alice, vec![], None),
            ("the same again", &alice, vec![], Some(0)),
            ("the default scope, named", &alice, vec![("scope", GROUP_MANAGEMENT)], Some(0)),
            ("the partner by its id", &alice, vec![("resource", ""), ("audience", PARTNER)], Some(0)),
            ("another login of the same user", &token_of("alice", CLIENT), vec![], Some(0)),
            ("another user", &bob, vec![], None),
            ("another client", &elsewhere, vec![("client_id", OTHER_CLIENT)], None),
            ("another partner", &alice, vec![("resource", resource.as_str())], None),
            ("more scopes", &alice, vec![("scope", both_scopes.as_str())], None),
            ("the same scopes in another order", &alice, vec![("scope", reversed.as_str())], Some(8)),
            ("fewer scopes", &alice, vec![("scope", "openid")], None),
            (
                "the security token",
                &alice,
                vec![("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")],
                None,
            ),
            ("the first one at last", &alice, vec![], Some(0)),
        ] {
            let answer = federation.exchange_token(token, &changes).await;
            assert_eq!(answer.status, 200, "{tiers:?}: {what}: {}", answer.text);
            let got = answer.text_of("access_token");
            match same_as {
                Some(row) => assert_eq!(seen[row], got, "{tiers:?}: {what}"),
                None => assert!(!seen.contains(&got), "{tiers:?}: {what}"),
            }
            seen.push(got);
        }
    }
}

async fn other_partner(ground: &Ground) -> Sandbox {
    let options = SandboxOptions {
        clock: ground.federation.clock.clone(),
        signing_key: SigningKey::generate(Algorithm::Es256).ok(),
        ..SandboxOptions::default()
    };
    let other = Sandbox::start(options).await.unwrap();
    other.trust(TrustedIssuer::sandbox(&ground.federation.home.issuer()));
    other
}

fn broker_with_two_of_each(ground: &Ground, other: &Sandbox) -> Broker {
    let clients = [CLIENT, OTHER_CLIENT]
        .map(|id| format!("[[clients]]\nid = \"{id}\"\nauthentication = \"none\"\npartners = [\"*\"]\n"));
    let cache = match &ground.redis {
        None => String::new(),
        Some(redis) => cache_toml(redis, &ground.keys, "one", "0s"),
    };
    let toml = merged(&broker_toml(&ground.federation.home), &merged(&cache, &clients.concat()));
    let other = merged(&partner_toml(other), r#"domains = ["mcx.state-police.example"]"#);
    let partners = [(PARTNER, partner_toml(&ground.federation.partner)), ("state-police", other)];
    Broker::start(&toml, &partners, &ground.federation.clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_kept_while_it_is_good_and_its_remaining_life_is_told() {
    for tiers in ALL {
        let ground = Ground::new(tiers).await;
        let federation = &ground.federation;
        let left = |answer: &Answer| answer.json()["expires_in"].as_u64().unwrap();
        let first = federation.exchange(&[]).await;
        let lifetime = left(&first);
        for passed in [60, 120] {
            federation.hand.advance(Duration::from_secs(60));
            let later = federation.exchange(&[]).await;
            assert_eq!(later.text_of("access_token"), first.text_of("access_token"), "{tiers:?}");
            // Redis holds whole seconds, rounded down.
            assert!((lifetime - passed - 1..=lifetime - passed).contains(&left(&later)), "{tiers:?}");
        }
        federation.hand.advance(Duration::from_secs(lifetime - 120 - 9));
        let last = federation.exchange(&[]).await;
        assert_ne!(last.text_of("access_token"), first.text_of("access_token"), "{tiers:?}");
        assert_eq!(ground.grants(), 2, "{tiers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_longer_than_the_operator_allows() {
    for tiers in ALL {
        let ground = Ground::with(tiers, "[cache]\nmax_lifetime = \"60s\"").await;
        let first = ground.token("alice").await;
        ground.federation.hand.advance(Duration::from_secs(58));
        assert_eq!(ground.token("alice").await, first, "{tiers:?}");
        ground.federation.hand.advance(Duration::from_secs(3));
        assert_ne!(ground.token("alice").await, first, "{tiers:?}");
        if let Some(redis) = &ground.redis {
            let left: i64 = redis.connection().pttl(&keys_of(redis)[0]).unwrap();
            assert!((1..=60_000).contains(&left), "{tiers:?}: {left}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_less_than_the_margin_is_handed_out_and_not_kept() {
    for tiers in ALL {
        let ground = Ground::new(tiers).await;
        let federation = &ground.federation;
        for (expires_in, expected) in [(2, (502, "server_error")), (3, (200, "")), (10, (200, ""))] {
            let fault = Fault::Set { member: "expires_in".to_owned(), value: json!(expires_in) };
            federation.partner.fault(Endpoint::Token, fault);
            let before = ground.grants();
            let (first, second) = (federation.exchange(&[]).await, federation.exchange(&[]).await);
            for answer in [&first, &second] {
                let (status, error) = answer.outcome();
                assert_eq!((status, error.as_str()), expected, "{tiers:?}: {expires_in}: {}", answer.text);
            }
            if expected.0 == 200 {
                assert_eq!(first.json()["expires_in"], json!(expires_in), "{tiers:?}");
            }
            assert_eq!(ground.grants(), before + 2, "{tiers:?}: {expires_in}");
            if let Some(redis) = &ground.redis {
                assert!(keys_of(redis).is_empty(), "{tiers:?}: {expires_in}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_never_kept() {
    for tiers in ALL {
        let ground = Ground::new(tiers).await;
        let federation = &ground.federation;
        let refusal =
            |error: &str| Fault::Error { status: 400, error: error.to_owned(), description: String::new() };
        for (side, fault) in [
            (&federation.home, refusal("invalid_request")),
            (&federation.partner, refusal("invalid_grant")),
            (&federation.partner, refusal("invalid_scope")),
            (&federation.partner, Fault::Status { status: 500, body: String::new() }),
            (&federation.partner, Fault::CutBody),
            (&federation.partner, Fault::WiderScope { scope: "3gpp:mc:ptt_service".to_owned() }),
        ] {
            side.fault_times(Endpoint::Token, fault.clone(), 1);
            let failed = federation.exchange_token(&federation.home_token("bob"), &[]).await;
            assert_ne!(failed.status, 200, "{tiers:?}: {fault:?}");
            if let Some(redis) = &ground.redis {
                assert!(keys_of(redis).is_empty(), "{tiers:?}: {fault:?}");
            }
        }
        let before = ground.grants();
        ground.token("bob").await;
        assert_eq!(ground.grants(), before + 1, "{tiers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_forgets_an_entry_before_the_partner_does() {
    let ground = Ground::new(Tiers::Both).await;
    let answer = ground.federation.exchange(&[]).await;
    let lifetime = answer.json()["expires_in"].as_i64().unwrap();
    let keys = keys_of(ground.redis());
    assert_eq!(keys.len(), 1, "{keys:?}");
    let left: i64 = ground.redis().connection().pttl(&keys[0]).unwrap();
    // The margin is ten seconds; the lower bound says that the lifetime counts at all.
    assert!((lifetime * 500..=(lifetime - 10) * 1000).contains(&left), "{left} of {lifetime}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_serves_what_was_kept_unless_the_partners_definition_changed() {
    let ground = Ground::new(Tiers::Both).await;
    let token = ground.token("alice").await;
    for (what, partner, kept) in [
        ("the same files", "", true),
        ("another secret at the partner", "[client]\nsecret = \"rotated\"", true),
        ("another lifetime", "[grant]\nmax_lifetime = \"30m\"", false),
        ("another parameter", "[grant.parameters]\ntenant = \"b\"", false),
        ("fewer scopes allowed", &format!("[scopes]\nallowed = [\"{GROUP_MANAGEMENT}\"]"), false),
        ("the same files again", "", true),
    ] {
        let broker = ground.replica("one", "", partner);
        let before = ground.grants();
        let served = ground.token_at(&broker, "alice").await;
        assert_eq!(served == token, kept, "{what}");
        assert_eq!(ground.grants() == before, kept, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_was_taken_away_is_gone_though_the_token_is_still_kept() {
    let ground = Ground::new(Tiers::Both).await;
    let token = ground.token("alice").await;
    let client =
        |rights: &str| format!("[[clients]]\nid = \"{CLIENT}\"\nauthentication = \"none\"\n{rights}");
    for (rights, expected) in [
        ("partners = [\"*\"]", (200, "")),
        ("partners = []", (400, "unauthorized_client")),
        ("partners = [\"*\"]\nscopes = [\"openid\"]", (400, "invalid_scope")),
    ] {
        let broker = ground.replica("one", &client(rights), "");
        let federation = &ground.federation;
        let answer = federation.exchange_at(&broker, &federation.home_token("alice"), &[]).await;
        let (status, error) = answer.outcome();
        assert_eq!((status, error.as_str()), expected, "{rights}: {}", answer.text);
        assert_eq!(answer.text.contains(&token), status == 200, "{rights}");
    }
    let gone = ground.replica("one", "", "enabled = false");
    let answer = ground.federation.exchange_at(&gone, &ground.federation.home_token("alice"), &[]).await;
    assert_eq!(answer.outcome(), (400, "invalid_target".to_owned()), "{}", answer.text);
    assert_eq!(ground.grants(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_with_one_sealing_key_share_and_with_two_they_miss() {
    let ground = Ground::new(Tiers::Both).await;
    let token = ground.token("alice").await;
    let friend = ground.replica("one", "", "");
    assert_eq!(ground.token_at(&friend, "alice").await, token);
    assert_eq!(ground.grants(), 1);
    assert_eq!(
        friend
            .metric(r#"mcx_broker_token_requests_total{code="ok",source="redis",partner="county-fire"}"#)
            .await,
        1
    );

    let stranger = ground.replica("other", "", "");
    assert_ne!(ground.token_at(&stranger, "alice").await, token);
    assert_eq!(ground.grants(), 2);
    let unsealable = r#"mcx_broker_redis_commands_total{outcome="unsealable"}"#;
    assert_eq!(stranger.metric(unsealable).await, 1);
    assert_eq!(friend.metric(unsealable).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_sealing_key_loses_nothing() {
    let ground = Ground::new(Tiers::Both).await;
    let token = ground.token("alice").await;
    let [new, old] = ["other", "one"].map(|key| ground.keys.path().join(key).display().to_string());
    let rotated = format!("[cache]\nsealing_key_files = [\"{new}\", \"{old}\"]");
    let rotated = ground.replica("one", &rotated, "");
    assert_eq!(ground.token_at(&rotated, "alice").await, token);
    assert_eq!(ground.grants(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_is_one_round_trip() {
    let ground = Ground::new(Tiers::Redis).await;
    ground.token("alice").await;
    let answered = r#"mcx_broker_redis_commands_total{outcome="answered"}"#;
    let before = ground.federation.broker.metric(answered).await;
    for hits in 1..=3 {
        ground.token("alice").await;
        assert_eq!(ground.federation.broker.metric(answered).await, before + hits);
    }
    assert!(keys_of(ground.redis())[0].contains('{'), "a hash tag: all of one user's is in one slot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_dump_tells_neither_token_nor_user() {
    let ground = Ground::new(Tiers::Both).await;
    let token = ground.token("alice").await;
    let home_token = ground.federation.home_token("alice");
    let mut connection = ground.redis().connection();
    let mut dump = Vec::new();
    for key in keys_of(ground.redis()) {
        dump.extend_from_slice(key.as_bytes());
        let entries: Vec<Vec<u8>> = redis::cmd("HGETALL").arg(&key).query(&mut connection).unwrap();
        dump.extend(entries.concat());
    }
    assert!(dump.len() > token.len(), "the token is there, sealed");
    let signature = token.rsplit('.').next().unwrap();
    for secret in [
        token.as_str(),
        &token[..16],
        signature,
        &home_token,
        "alice",
        CLIENT,
        PARTNER,
        GROUP_MANAGEMENT,
        "access_token",
        "expires_at",
    ] {
        let found = dump.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{secret} is readable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_moved_or_meddled_with_is_a_miss_and_is_replaced() {
    let ground = Ground::new(Tiers::Redis).await;
    let alices = ground.token("alice").await;
    let alices_key = keys_of(ground.redis()).remove(0);
    ground.token("bob").await;
    let key = keys_of(ground.redis()).into_iter().find(|key| *key != alices_key).unwrap();
    let mut redis = ground.redis().connection();
    let (_, value) = entry_of(ground.redis(), &alices_key);
    let (field, own) = entry_of(ground.redis(), &key);
    let altered = |at: usize| {
        let mut bytes = own.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (what, bytes) in [
        ("alice's entry under bob's key", value.clone()),
        ("truncated by a byte", own[..own.len() - 1].to_vec()),
        ("truncated to its header", own[..21].to_vec()),
        ("one byte", vec![1]),
        ("empty", Vec::new()),
        ("a changed version", altered(0)),
        ("a changed key id", altered(1)),
        ("a changed nonce", altered(9)),
        ("a changed byte", altered(40)),
        ("a changed tag", altered(own.len() - 1)),
        ("longer", [own.as_slice(), b"x"].concat()),
        ("foreign text", b"{\"access_token\":\"evil\"}".to_vec()),
        ("a megabyte", vec![1; 1 << 20]),
    ] {
        let () = redis.hset(&key, &field, bytes).unwrap();
        let before = ground.grants();
        let token = ground.token("bob").await;
        assert_ne!(token, alices, "{what}");
        assert_eq!(ground.grants(), before + 1, "{what}");
        assert_eq!(ground.token("bob").await, token, "{what}: replaced");
    }
    assert_eq!(
        ground.federation.broker.metric(r#"mcx_broker_redis_commands_total{outcome="unsealable"}"#).await,
        13
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_another_type_is_a_miss_and_redis_stays_in_use() {
    let ground = Ground::new(Tiers::Redis).await;
    ground.token("alice").await;
    let key = keys_of(ground.redis()).remove(0);
    for what in ["LPUSH", "SADD", "APPEND"] {
        let mut redis = ground.redis().connection();
        let () = redis.del(&key).unwrap();
        let mut command = redis::cmd(what);
        let () = command.arg(&key).arg("value").query(&mut redis).unwrap();
        let token = ground.token("alice").await;
        assert_eq!(ground.token("alice").await, token, "{what}: replaced by a good entry at once");
    }
    let skipped = r#"mcx_broker_redis_commands_total{outcome="skipped"}"#;
    assert_eq!(ground.federation.broker.metric(skipped).await, 0, "others go on using Redis");
}
