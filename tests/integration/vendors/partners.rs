//! The presets' `[partner]`: a partner IdM of each product, behind a home IdM that does what it is asked.

use super::{PLAIN, Row};

/// A home IdM whose security tokens carry the target alone, whatever parameter named it.
const TARGET_ALONE: &str = r#"{"home": {"exchange": {"resource": "optional"}, "token": {"audience": ["target"]}, "response": {"lifetime": 300}}}"#;
/// As TS 33.180, the array, with `audience` instead of `resource` when that is there.
pub(super) const ARRAY: &str = r#"{"home": {"exchange": {"resource": "optional"}, "token": {"audience": ["subject_client", "target"]}, "response": {"lifetime": 300}}}"#;

pub(super) const PARTNERS: &[Row] = &[
    Row {
        preset: "auth0",
        home: PLAIN,
        partner: "auth0",
        broker_keys: "",
        partner_keys: "[security_token]\nsource = \"mint\"",
        wrong: &[
            ("", "", "its header's typ"),
            ("-", "[security_token]\nsource = \"mint\"", "400 invalid_grant"),
            (
                "",
                "[security_token]\nsource = \"mint\"\n[security_token.mint]\nclient_id = \"another\"",
                "400 invalid_grant",
            ),
        ],
    },
    Row {
        preset: "authgent",
        home: ARRAY,
        partner: "authgent",
        broker_keys: "",
        partner_keys: "",
        wrong: &[
            ("-", "", "401 invalid_client"),
            ("", "[client]\nclient_id_in_body = true", "401 invalid_client"),
            ("", "[client]\ncredentials_encoding = \"form\"", "401 invalid_client"),
        ],
    },
    Row {
        preset: "dex",
        home: ARRAY,
        partner: "dex",
        broker_keys: "",
        partner_keys: "[security_token]\nsend = [\"audience\"]\naudience = \"county\"\n[grant.parameters]\nconnector_id = \"home\"",
        wrong: &[
            ("-", "", "400 unsupported_grant_type"),
            ("", "[security_token]\nsend = [\"audience\"]\naudience = \"county\"", "400 invalid_request"),
            ("", "[grant.parameters]\nconnector_id = \"home\"", "401 access_denied"),
            (
                "",
                "[security_token]\nsend = [\"audience\"]\naudience = \"county\"\n[grant]\nsubject_token_type = \"jwt\"\nparameters = { connector_id = \"home\" }",
                "400 request_not_supported",
            ),
        ],
    },
    Row {
        preset: "hydra",
        home: ARRAY,
        partner: "hydra",
        broker_keys: "",
        partner_keys: "[security_token]\nsend = [\"audience\"]",
        wrong: &[
            ("-", "", "refused this user: 400 invalid_grant"),
            (
                "",
                "[security_token]\nsend = [\"audience\"]\naudience_parameter = \"{issuer}\"",
                "its aud does not carry",
            ),
            ("", "[security_token]\nsend = [\"audience\"]\naudience = \"{issuer}\"", "400 invalid_grant"),
        ],
    },
    Row {
        preset: "id-jag",
        home: PLAIN,
        partner: "okta",
        broker_keys: "",
        partner_keys: "[security_token]\nsource = \"mint\"",
        wrong: &[
            ("", "", "its header's typ"),
            ("-", "[security_token]\nsource = \"mint\"", "400 invalid_grant"),
        ],
    },
    Row {
        preset: "janssen",
        home: ARRAY,
        partner: r#"{"partner": {"assertion": {"audience": ["issuer"], "iat_required": false, "jti_once": false}},
            "errors": {"audience": {"error": "invalid_request", "description": "'aud' is invalid."}}}"#,
        broker_keys: "",
        partner_keys: "",
        wrong: &[(
            "",
            "[security_token]\nsend = [\"audience\"]\naudience = \"https://other.example\"",
            "400 invalid_request",
        )],
    },
    Row {
        preset: "keycloak",
        home: TARGET_ALONE,
        partner: "keycloak",
        broker_keys: "",
        partner_keys: "",
        wrong: &[
            ("-", "", "scope is wider than asked for"),
            (
                "-",
                "[security_token]\nsend = [\"audience\"]\naudience = \"https://other.example\"",
                "400 invalid_grant",
            ),
        ],
    },
    Row {
        preset: "pingam",
        home: ARRAY,
        partner: "pingam",
        broker_keys: "",
        partner_keys: "[security_token]\nsend = [\"audience\"]\naudience = \"{issuer}/oauth2/access_token\"",
        wrong: &[("", "", "400 invalid_grant")],
    },
    Row {
        preset: "pingfederate",
        home: ARRAY,
        partner: "pingfederate",
        broker_keys: "",
        partner_keys: "[grant.parameters]\naccess_token_manager_id = \"mcx\"",
        wrong: &[(
            "",
            "[security_token]\nsend = [\"audience\"]\naudience = \"https://other.example\"",
            "400 invalid_grant",
        )],
    },
    Row {
        preset: "sap",
        home: ARRAY,
        partner: "sap",
        broker_keys: "",
        partner_keys: "",
        wrong: &[("-", "", "400 invalid_request")],
    },
    Row {
        preset: "ts33180",
        home: PLAIN,
        partner: PLAIN,
        broker_keys: "",
        partner_keys: "",
        wrong: &[("", "[grant]\nscope = \"omit\"", "scope: 400 invalid_scope")],
    },
    Row {
        preset: "uaa",
        home: ARRAY,
        partner: "uaa",
        broker_keys: "",
        partner_keys: "[security_token]\nsend = [\"audience\"]\naudience = \"county\"",
        wrong: &[
            ("-", "[security_token]\nsend = [\"audience\"]\naudience = \"county\"", "400 invalid_request"),
            ("", "", "401 invalid_token"),
        ],
    },
    Row {
        preset: "wso2",
        home: ARRAY,
        partner: "wso2",
        broker_keys: "",
        partner_keys: "[security_token]\nsend = [\"audience\"]\naudience = \"county\"",
        wrong: &[("", "", "400 invalid_grant")],
    },
];
