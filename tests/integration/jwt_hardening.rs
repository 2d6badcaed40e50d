//! What a hostile subject token can try (RFC 8725, RFC 7515 to 7519), through the wire: each attempt is refused with 400
//! `invalid_request`, and the broker goes on.

use josekit::jwk::alg::rsa::RsaKeyPair;
use josekit::jws::{HS256, JwsSigner as _};
use mcx_token_broker::jose::Algorithm;
use mcx_token_broker::sandbox::{Endpoint, Sandbox, SandboxOptions, User};
use serde_json::{Map, Value, json};

use crate::support::federation::{BROKER_ISSUER, CLIENT, Federation, Setup};
use crate::support::forge::{Forger, decode, encode, federation_of};

const HEADER: &str = r#"{"alg":"RS256","kid":"rsa","typ":"at+jwt"}"#;

/// A federation and the home domain's keys, one for each family of algorithms.
pub(crate) struct Home {
    pub(crate) federation: Federation,
    rsa: Forger,
    pub(crate) es256: Forger,
    es384: Forger,
    es512: Forger,
    pub(crate) eddsa: Forger,
    now: i64,
}

impl Home {
    pub(crate) async fn start() -> Self {
        let rsa = Forger::new(Algorithm::Rs256, "rsa");
        let es256 = Forger::new(Algorithm::Es256, "es256");
        let es384 = Forger::new(Algorithm::Es384, "es384");
        let es512 = Forger::new(Algorithm::Es512, "es512");
        let eddsa = Forger::new(Algorithm::EdDsa, "eddsa");
        let federation = federation_of(&[&rsa, &es256, &es384, &es512, &eddsa], Setup::new()).await;
        let now = federation.clock.now().unix_seconds();
        Self { federation, rsa, es256, es384, es512, eddsa, now }
    }

    /// What a good token says.
    fn claims(&self) -> Map<String, Value> {
        let claims = json!({
            "iss": self.federation.home.issuer(), "sub": "alice@mcx.example", "aud": "mcx", "client_id": CLIENT,
            "exp": self.now + 600, "iat": self.now, "scope": "openid", "jti": "1",
        });
        claims.as_object().unwrap().clone()
    }

    pub(crate) fn payload(&self) -> String {
        Value::Object(self.claims()).to_string()
    }

    /// A signed token whose claim has this value, written as JSON.
    fn with(&self, claim: &str, json: &str) -> String {
        let mut claims = self.claims();
        claims.remove(claim);
        let rest = Value::Object(claims).to_string();
        self.rsa.sign(HEADER, format!("{{{}:{json},{}", json!(claim), &rest[1..]))
    }

    fn without(&self, claim: &str) -> String {
        let mut claims = self.claims();
        claims.remove(claim).unwrap_or_else(|| panic!("a good token has {claim}"));
        self.rsa.sign(HEADER, Value::Object(claims).to_string())
    }

    pub(crate) fn good(&self) -> String {
        self.rsa.sign(HEADER, self.payload())
    }

    async fn each_refused<N: std::fmt::Display>(&self, rows: impl IntoIterator<Item = (N, String)>) {
        let good = self.good();
        for (name, token) in rows {
            let answer = self.federation.exchange_token(&token, &[]).await;
            assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()), "{name}: {}", answer.text);
            let next = self.federation.exchange_token(&good, &[]).await;
            assert_eq!(next.status, 200, "after {name}: {}", next.text);
        }
    }

    async fn each_accepted<N: std::fmt::Display>(&self, rows: impl IntoIterator<Item = (N, String)>) {
        for (name, token) in rows {
            let answer = self.federation.exchange_token(&token, &[]).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_asymmetric_algorithm_is_accepted_with_its_key() {
    let home = Home::start().await;
    let algorithms = Algorithm::ALL.map(|algorithm| {
        let key = match algorithm {
            Algorithm::Es256 => &home.es256,
            Algorithm::Es384 => &home.es384,
            Algorithm::Es512 => &home.es512,
            Algorithm::EdDsa => &home.eddsa,
            _ => &home.rsa,
        };
        let kid = key.jwk["kid"].as_str().unwrap();
        (
            algorithm,
            key.with(algorithm).sign(&format!(r#"{{"alg":"{algorithm}","kid":"{kid}"}}"#), home.payload()),
        )
    });
    home.each_accepted(algorithms).await;
    let without_kid = home.es256.sign(r#"{"alg":"ES256"}"#, home.payload());
    home.each_accepted([("without kid", without_kid)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_algorithm_but_the_keys_own_is_believed() {
    let home = Home::start().await;
    let payload = home.payload();
    let unsigned = |header: &str| format!("{}.{}.", encode(header), encode(&payload));
    let hmac = |secret: &[u8]| {
        let input = format!("{}.{}", encode(r#"{"alg":"HS256","kid":"rsa"}"#), encode(&payload));
        let signature = HS256.signer_from_bytes(secret).unwrap().sign(input.as_bytes()).unwrap();
        format!("{input}.{}", encode(signature))
    };
    let (public_pem, jwk) =
        (RsaKeyPair::from_pem(&home.rsa.pem).unwrap().to_pem_public_key(), home.rsa.jwk.to_string());
    let modulus = decode(home.rsa.jwk["n"].as_str().unwrap());
    let mut with_alg = home.claims();
    with_alg.insert("alg".to_owned(), json!("RS256"));
    let rsa = |header: &str| home.rsa.sign(header, &payload);
    home.each_refused([
        ("none", unsigned(r#"{"alg":"none"}"#)),
        ("NoNe", unsigned(r#"{"alg":"NoNe"}"#)),
        ("none with a good signature", rsa(r#"{"alg":"none","kid":"rsa"}"#)),
        ("empty alg", rsa(r#"{"alg":"","kid":"rsa"}"#)),
        ("HMAC with the public key as PEM", hmac(&public_pem)),
        ("HMAC with the public key as JWK", hmac(jwk.as_bytes())),
        ("HMAC with the modulus", hmac(&modulus)),
        ("alg missing", rsa(r#"{"kid":"rsa"}"#)),
        ("alg in the payload only", home.rsa.sign(r#"{"kid":"rsa"}"#, Value::Object(with_alg).to_string())),
        ("alg null", rsa(r#"{"alg":null,"kid":"rsa"}"#)),
        ("alg a list", rsa(r#"{"alg":["RS256"],"kid":"rsa"}"#)),
        ("alg in lower case", rsa(r#"{"alg":"rs256","kid":"rsa"}"#)),
        ("alg unknown", rsa(r#"{"alg":"RS257","kid":"rsa"}"#)),
        ("RS256 with the alg of the same key", rsa(r#"{"alg":"PS256","kid":"rsa"}"#)),
        ("RS256 said to be RS512", rsa(r#"{"alg":"RS512","kid":"rsa"}"#)),
        ("ES256 with an RSA key", rsa(r#"{"alg":"ES256","kid":"rsa"}"#)),
        ("ES256 with an RSA key, no kid", rsa(r#"{"alg":"ES256"}"#)),
        ("ES384 with a P-256 key", home.es256.sign(r#"{"alg":"ES384","kid":"es256"}"#, &payload)),
        ("EdDSA with an EC key", home.es256.sign(r#"{"alg":"EdDSA","kid":"es256"}"#, &payload)),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_brings_no_key_of_its_own_and_nothing_is_fetched_for_it() {
    let home = Home::start().await;
    let attacker = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let key = Forger::new(Algorithm::Es256, "rsa");
    let members = [
        ("jku", json!(attacker.jwks_uri())),
        ("x5u", json!(attacker.jwks_uri())),
        ("x5c", json!(["MIIB"])),
        ("jwk", key.jwk.clone()),
    ];
    for (name, value) in &members {
        let attack =
            |kid: &str| key.sign(&format!(r#"{{"alg":"ES256"{kid},"{name}":{value}}}"#), home.payload());
        let rows = [("with kid", attack(r#","kid":"es256""#)), ("without", attack(""))];
        home.each_refused(rows.map(|(kid, token)| (format!("{name} {kid}"), token))).await;
        let honest = format!(r#"{{"alg":"RS256","kid":"rsa","{name}":{value}}}"#);
        home.each_accepted([(format!("{name} ignored"), home.rsa.sign(&honest, home.payload()))]).await;
    }
    assert_eq!(attacker.requests(Endpoint::Jwks), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_demand_or_hide_something_are_refused() {
    let home = Home::start().await;
    let long = "k".repeat(9000);
    let header = |members: &str| home.rsa.sign(&format!("{{{members}}}"), home.payload());
    let rows = [
        ("crit unknown", r#""alg":"RS256","kid":"rsa","crit":["exp2"],"exp2":1"#),
        ("crit of a known name", r#""alg":"RS256","kid":"rsa","crit":["exp"],"exp":1"#),
        ("crit empty", r#""alg":"RS256","kid":"rsa","crit":[]"#),
        ("crit null", r#""alg":"RS256","kid":"rsa","crit":null"#),
        ("b64 false", r#""alg":"RS256","kid":"rsa","b64":false"#),
        ("b64 false in crit", r#""alg":"RS256","kid":"rsa","crit":["b64"],"b64":false"#),
        ("alg twice", r#""alg":"RS256","alg":"RS256","kid":"rsa""#),
        ("alg twice, once escaped", r#""alg":"RS256","\u0061lg":"none","kid":"rsa""#),
        ("kid twice", r#""alg":"RS256","kid":"rsa","kid":"es256""#),
        ("typ twice", r#""alg":"RS256","kid":"rsa","typ":"JWT","typ":"at+jwt""#),
        ("kid of another key", r#""alg":"RS256","kid":"es256""#),
        ("kid unknown", r#""alg":"RS256","kid":"nobody's""#),
        ("kid empty", r#""alg":"RS256","kid":"""#),
        ("kid in another case", r#""alg":"RS256","kid":"RSA""#),
        ("kid a number", r#""alg":"RS256","kid":7"#),
        ("kid a list", r#""alg":"RS256","kid":["rsa"]"#),
        ("kid an object", r#""alg":"RS256","kid":{"rsa":1}"#),
        ("kid a path", r#""alg":"RS256","kid":"../../../../../../dev/null""#),
        ("kid SQL", r#""alg":"RS256","kid":"x' UNION SELECT 'rsa' --""#),
        ("kid with NUL", r#""alg":"RS256","kid":"rsa\u0000""#),
        ("a name with NUL", r#""alg":"RS256","kid":"rsa","x\u0000":1"#),
        ("typ of a logout token", r#""alg":"RS256","kid":"rsa","typ":"logout+jwt""#),
        ("the same in full", r#""alg":"RS256","kid":"rsa","typ":"application/logout+jwt""#),
        ("typ of an ID-JAG", r#""alg":"RS256","kid":"rsa","typ":"oauth-id-jag+jwt""#),
        ("typ of a client assertion", r#""alg":"RS256","kid":"rsa","typ":"client-authentication+jwt""#),
        ("typ of a security event", r#""alg":"RS256","kid":"rsa","typ":"secevent+jwt""#),
        ("typ of a DPoP proof", r#""alg":"RS256","kid":"rsa","typ":"dpop+jwt""#),
        ("typ a number", r#""alg":"RS256","kid":"rsa","typ":7"#),
    ];
    home.each_refused(rows.map(|(name, members)| (name, header(members)))).await;
    let huge = header(&format!(r#""alg":"RS256","kid":"{long}""#));
    home.each_refused([("kid huge", huge)]).await;
    let typ = |typ: &str| header(&format!(r#""alg":"RS256","kid":"rsa","typ":"{typ}""#));
    home.each_accepted(
        ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt", ""].map(|text| (text, typ(text))),
    )
    .await;
    home.each_accepted([("no typ", header(r#""alg":"RS256","kid":"rsa""#))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_are_whole_seconds_or_nothing() {
    let home = Home::start().await;
    let now = home.now;
    let exp: [(&str, String); 14] = [
        ("as a string", format!("\"{}\"", now + 600)),
        ("as a float", format!("{}.5", now + 600)),
        ("as a whole float", format!("{}.0", now + 600)),
        ("1e308", "1e308".to_owned()),
        ("beyond a double", "1e400".to_owned()),
        ("1e19", "1e19".to_owned()),
        ("2^63", "9223372036854775808".to_owned()),
        ("milliseconds", format!("{}", (now + 600) * 1000)),
        ("negative", "-1".to_owned()),
        ("zero", "0".to_owned()),
        ("null", "null".to_owned()),
        ("true", "true".to_owned()),
        ("a list", format!("[{}]", now + 600)),
        ("beyond the leeway", format!("{}", now - 10)),
    ];
    home.each_refused(exp.map(|(name, value)| (format!("exp {name}"), home.with("exp", &value)))).await;
    let far = home.with("exp", &format!("{}", now + 400 * 86_400));
    home.each_refused([("exp missing", home.without("exp")), ("exp in more than a year", far)]).await;
    for claim in ["nbf", "iat"] {
        let rows: [(&str, String); 7] = [
            ("in the future", format!("{}", now + 11)),
            ("milliseconds", format!("{}", now * 1000)),
            ("as a string", format!("\"{now}\"")),
            ("1e308", "1e308".to_owned()),
            ("negative", "-1".to_owned()),
            ("false", "false".to_owned()),
            ("an object", "{}".to_owned()),
        ];
        home.each_refused(rows.map(|(name, value)| (format!("{claim} {name}"), home.with(claim, &value))))
            .await;
        let within = home.with(claim, &format!("{}", now + 10));
        home.each_accepted([(format!("{claim} within the leeway"), within)]).await;
    }
    let within = home.with("exp", &format!("{}", now - 9));
    home.each_accepted([("exp within the leeway", within), ("iat missing", home.without("iat"))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_claims_are_checked_in_every_form() {
    let home = Home::start().await;
    let issuer = home.federation.home.issuer();
    let many = format!("[{}\"mcx\"]", "\"x\",".repeat(100));
    let long = "\"".to_owned() + &"a".repeat(256) + "\"";
    let longest = "a".repeat(255);
    let rows: [(&str, String); 33] = [
        ("iss", json!(format!("{issuer}/")).to_string()),
        ("iss", json!(issuer.to_uppercase()).to_string()),
        ("iss", json!(home.federation.partner.issuer()).to_string()),
        ("iss", json!([issuer]).to_string()),
        ("iss", "\"\"".to_owned()),
        ("iss", "null".to_owned()),
        ("aud", "\"MCX\"".to_owned()),
        ("aud", "\"other\"".to_owned()),
        ("aud", "[\"other\",\"mcptt_client\"]".to_owned()),
        ("aud", "\"mcx other\"".to_owned()),
        ("aud", "[]".to_owned()),
        ("aud", "[7,\"mcx\"]".to_owned()),
        ("aud", "[[\"mcx\"]]".to_owned()),
        ("aud", "{\"mcx\":true}".to_owned()),
        ("aud", "7".to_owned()),
        ("aud", "null".to_owned()),
        ("aud", "true".to_owned()),
        ("aud", many),
        ("sub", "\"\"".to_owned()),
        ("sub", "7".to_owned()),
        ("sub", "[\"alice@mcx.example\"]".to_owned()),
        ("sub", "\"alice@mcx.example\\u0000\"".to_owned()),
        ("sub", long),
        ("client_id", "\"\"".to_owned()),
        ("client_id", "7".to_owned()),
        ("client_id", "[\"mcptt_client\"]".to_owned()),
        ("client_id", "\"other_client\"".to_owned()),
        ("scope", "7".to_owned()),
        ("scope", "true".to_owned()),
        ("scope", "{}".to_owned()),
        ("scope", "[7]".to_owned()),
        ("scope", "[\"openid email\"]".to_owned()),
        ("scope", "\"open\\\"id\"".to_owned()),
    ];
    home.each_refused(rows.map(|(claim, value)| (format!("{claim}: {value}"), home.with(claim, &value))))
        .await;
    home.each_refused(["iss", "aud", "sub", "client_id"].map(|claim| (claim, home.without(claim)))).await;

    let longest_user = User { subject: longest.clone(), ..User::new("longest") };
    home.federation.partner.add_user(longest_user);
    home.each_accepted([
        ("aud a list", home.with("aud", "[\"other\",\"mcx\"]")),
        ("scope a list", home.with("scope", "[\"openid\",\"3gpp:mcptt:ptt_server\"]")),
        ("scope a string", home.with("scope", "\"openid 3gpp:mcptt:ptt_server\"")),
        ("no scope", home.without("scope")),
        ("the longest sub", home.with("sub", &json!(longest).to_string())),
        ("an unknown claim", home.with("tenant", "{\"a\":[1,null,{\"b\":1.5}]}")),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_signed_jwt_is_refused() {
    let home = Home::start().await;
    let good = home.good();
    let parts: Vec<_> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let other = home.with("jti", "\"2\"");
    let (_, others_signature) = other.rsplit_once('.').unwrap();
    let standard = |part: &str| part.replace('-', "+").replace('_', "/");
    let rest = |payload: &str| home.rsa.sign(HEADER, payload);
    let body = home.payload();
    let duplicate = |member: &str| format!("{{{member},{}", &body[1..]);
    let es256 = |signature: &[u8]| {
        format!("{}.{payload}.{}", encode(r#"{"alg":"ES256","kid":"es256"}"#), encode(signature))
    };
    let mut identity = [0; 64];
    identity[0] = 1;
    let small_order =
        format!("{}.{payload}.{}", encode(r#"{"alg":"EdDSA","kid":"eddsa"}"#), encode(identity));
    let mut not_utf8 = duplicate(r#""name":"xx""#).into_bytes();
    let at = not_utf8.iter().position(|byte| *byte == b'x').unwrap();
    not_utf8[at] = 0xff;
    let nested = "[".repeat(10_000) + &"]".repeat(10_000);
    home.each_refused([
        ("nothing but a dot", ".".to_owned()),
        ("two dots", "..".to_owned()),
        ("a word", "token".to_owned()),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("five parts", format!("{good}.{good}").rsplit_once('.').unwrap().0.to_owned()),
        ("a JWE", format!("{}.a.b.c.d", encode(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#))),
        (
            "JWS JSON serialization",
            json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]})
                .to_string(),
        ),
        ("empty header", format!(".{payload}.{signature}")),
        ("empty payload", format!("{header}..{signature}")),
        ("empty signature", format!("{header}.{payload}.")),
        ("truncated signature", good[..good.len() - 4].to_owned()),
        ("truncated by one character", good[..good.len() - 1].to_owned()),
        ("extended signature", format!("{good}AAAA")),
        ("another token's signature", format!("{header}.{payload}.{others_signature}")),
        ("padding", format!("{good}==")),
        ("padding inside", format!("{header}=.{payload}.{signature}")),
        (
            "the standard alphabet",
            format!("{header}.{payload}.{}+/", standard(&signature[..signature.len() - 2])),
        ),
        ("white space inside", format!("{header}. {payload}.{signature}")),
        ("a line end", format!("{good}\n")),
        ("NUL", format!("{good}\0")),
        ("a byte order mark before", format!("\u{feff}{good}")),
        ("Bearer before it", format!("Bearer {good}")),
        ("oversized", rest(&duplicate(&format!("\"x\":\"{}\"", "x".repeat(20_000))))),
        ("beyond the body limit", rest(&duplicate(&format!("\"x\":\"{}\"", "x".repeat(100_000))))),
        ("header no object", home.rsa.sign(r#"["RS256"]"#, &body)),
        ("header no JSON", home.rsa.sign("alg: RS256", &body)),
        ("header twice", home.rsa.sign(&format!("{HEADER}{HEADER}"), &body)),
        ("payload a list", rest(&format!("[{body}]"))),
        ("payload a text", rest(&json!(body).to_string())),
        ("payload null", rest("null")),
        ("payload with a tail", rest(&format!("{body}{{}}"))),
        ("payload not UTF-8", home.rsa.sign(HEADER, &not_utf8)),
        ("payload with a byte order mark", rest(&format!("\u{feff}{body}"))),
        (
            "payload in UTF-16",
            home.rsa.sign(HEADER, body.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
        ),
        ("payload with NUL in a claim", rest(&duplicate(r#""name":"a\u0000b""#))),
        ("payload with NUL in a name", rest(&duplicate(r#""na\u0000me":"a""#))),
        ("payload with a raw NUL", rest(&duplicate("\"name\":\"a\0b\""))),
        ("payload with a lone surrogate", rest(&duplicate(r#""name":"\ud800""#))),
        ("payload with a trailing comma", rest(&format!("{},}}", &body[..body.len() - 1]))),
        ("sub twice", rest(&duplicate(r#""sub":"bob@mcx.example""#))),
        ("sub twice, once escaped", rest(&duplicate(r#""\u0073ub":"bob@mcx.example""#))),
        ("exp twice", rest(&duplicate(&format!(r#""exp":{}"#, home.now + 9000)))),
        ("an inner member twice", rest(&duplicate(r#""act":{"sub":"a","sub":"b"}"#))),
        ("10 000 nested arrays", rest(&duplicate(&format!("\"x\":{}", &nested[..9000])))),
        (
            "deeply nested arrays, closed",
            rest(&duplicate(&format!("\"x\":{}", "[".repeat(4000) + &"]".repeat(4000)))),
        ),
        ("10 000 nested arrays alone", rest(&nested)),
        ("ES256 with an all-zero signature", es256(&[0; 64])),
        ("ES256 with an empty signature", es256(&[])),
        (
            "ES256 with r = s = 1",
            es256(&{
                let mut one = [0; 64];
                (one[31], one[63]) = (1, 1);
                one
            }),
        ),
        ("ES256 with a DER signature's length", es256(&[0x30; 70])),
        ("EdDSA with a point of small order", small_order),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_other_kinds_and_issuers_are_refused() {
    let home = Home::start().await;
    let federation = &home.federation;
    let partners = federation.partner.issue_access_token("alice", CLIENT, "openid", &Map::new()).unwrap();
    let in_homes_name = federation.partner.sign("at+jwt", true, &home.claims()).unwrap();
    let jwt = [("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")];
    let security_token = federation.exchange_token(&home.good(), &jwt).await;
    assert_eq!(security_token.status, 200, "{}", security_token.text);
    let mut security_claims = home.claims();
    security_claims.insert("aud".to_owned(), json!([CLIENT, federation.partner.issuer()]));
    let mut id_claims = home.claims();
    id_claims.insert("aud".to_owned(), json!(CLIENT));
    let mut minted = home.claims();
    minted.insert("iss".to_owned(), json!(BROKER_ISSUER));
    let sign =
        |header: &str, claims: Map<String, Value>| home.rsa.sign(header, Value::Object(claims).to_string());
    home.each_refused([
        ("the partner's own token", partners.expose().to_owned()),
        ("signed by the partner in the home's name", in_homes_name.expose().to_owned()),
        ("the broker's security token", security_token.text_of("access_token")),
        (
            "a security token of the home IdM",
            sign(r#"{"alg":"RS256","kid":"rsa","typ":"JWT"}"#, security_claims),
        ),
        ("an ID token of the home IdM", sign(r#"{"alg":"RS256","kid":"rsa","typ":"JWT"}"#, id_claims)),
        ("the broker's issuer, the home's key", sign(HEADER, minted)),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_algorithms_are_the_only_ones() {
    let mut pinned = Forger::new(Algorithm::Rs256, "pinned");
    pinned.jwk["alg"] = json!("RS256");
    let rsa = Forger::new(Algorithm::Rs256, "rsa");
    let es256 = Forger::new(Algorithm::Es256, "es256");
    let setup = Setup::new().broker("[home]\nalgorithms = [\"RS256\", \"PS512\"]");
    let federation = federation_of(&[&pinned, &rsa, &es256], setup).await;
    let now = federation.clock.now().unix_seconds();
    let claims = json!({
        "iss": federation.home.issuer(), "sub": "alice@mcx.example", "aud": "mcx", "client_id": CLIENT, "exp": now + 600,
    });
    for (key, kid, algorithm, expected) in [
        (&pinned, "pinned", Algorithm::Rs256, 200),
        (&rsa, "rsa", Algorithm::Rs256, 200),
        (&rsa, "rsa", Algorithm::Ps512, 200),
        (&pinned, "pinned", Algorithm::Ps512, 400),
        (&rsa, "rsa", Algorithm::Ps256, 400),
        (&rsa, "rsa", Algorithm::Rs384, 400),
        (&es256, "es256", Algorithm::Es256, 400),
    ] {
        let header = format!(r#"{{"alg":"{algorithm}","kid":"{kid}"}}"#);
        let token = key.with(algorithm).sign(&header, claims.to_string());
        let answer = federation.exchange_token(&token, &[]).await;
        assert_eq!(answer.status, expected, "{algorithm} with {kid}: {}", answer.text);
    }
}
