//! The presets' `[home]`: a home IdM of each product, before a partner that takes what TS 33.180 says.

use super::{PLAIN, Row, TAKES_ALIAS};

pub(super) const HOME: &[Row] = &[
    Row {
        preset: "auth0",
        home: "auth0",
        // Its tokens live for a day.
        partner: r#"{"partner": {"assertion": {"max_lifetime": 0}}}"#,
        broker_keys: "",
        partner_keys: "",
        wrong: &[
            ("-", "", "400 invalid_request"),
            ("", "[security_token]\nrequested_token_type = \"jwt\"", "400 invalid_request"),
        ],
    },
    Row {
        preset: "authentik",
        home: r#"{"home": {"exchange": {"resource": "refused", "requested_token_types": ["", "urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"], "audience": "required", "audience_values": "registered"},
            "token": {"audience": ["audience"], "issued_by_target": true}}}"#,
        partner: TAKES_ALIAS,
        broker_keys: "",
        partner_keys: "[security_token]\naudience = \"county\"\nissuers = [\"county\"]",
        wrong: &[
            ("-", "[security_token]\naudience = \"county\"", "400 invalid_request"),
            ("", "[security_token]\naudience = \"county\"", "its iss is not among the accepted issuers"),
        ],
    },
    Row {
        preset: "authgent",
        home: "authgent",
        partner: PLAIN,
        broker_keys: "",
        partner_keys: "",
        wrong: &[
            ("-", "", "401 invalid_client"),
            ("[home.client]\nclient_id_in_body = true", "", "401 invalid_client"),
            ("", "[security_token]\nsubject_token_type = \"jwt\"", "400 invalid_request"),
        ],
    },
    Row {
        preset: "curity",
        home: r#"{"home": {"exchange": {"resource": "ignored", "requested_token_types": [""], "default_token_type": "urn:ietf:params:oauth:token-type:access_token", "target_required": false},
            "token": {"audience": ["audience"]}, "response": {"token_type": "bearer"}}}"#,
        partner: PLAIN,
        broker_keys: "",
        partner_keys: "",
        wrong: &[("-", "", "its aud does not carry")],
    },
    Row {
        preset: "keycloak",
        home: "keycloak",
        partner: "keycloak",
        broker_keys: "",
        partner_keys: "preset = \"keycloak\"\n[security_token]\nscope = [\"partner-audience\"]",
        wrong: &[
            ("-", "preset = \"keycloak\"", "its aud does not carry"),
            ("", "preset = \"keycloak\"", "400 invalid_request"),
            (
                "",
                "[security_token]\nscope = [\"partner-audience\"]\nrequested_token_type = \"jwt\"",
                "400 invalid_request",
            ),
            (
                "",
                "[security_token]\nscope = [\"partner-audience\"]\naudience = \"https://other.example\"",
                "400 invalid_client",
            ),
        ],
    },
    Row {
        preset: "okta",
        home: "okta",
        partner: PLAIN,
        broker_keys: "",
        partner_keys: "[security_token]\nscope = [\"3gpp:mc:ptt_group_management_service\"]",
        wrong: &[
            ("-", "", "400 invalid_request"),
            ("", "[security_token]\nscope = [\"openid\"]", "400 invalid_scope"),
        ],
    },
    Row {
        preset: "pingam",
        home: "pingam",
        partner: PLAIN,
        broker_keys: "",
        partner_keys: "",
        wrong: &[("-", "", "its aud does not carry")],
    },
    Row {
        preset: "pingfederate",
        home: "pingfederate",
        partner: PLAIN,
        broker_keys: "",
        // A generator group's own type, answered with token_type N_A.
        partner_keys: "[security_token]\nrequested_token_type = \"urn:example:token-type:security-token\"\nissued_token_types = [\"urn:example:token-type:security-token\"]",
        wrong: &[
            ("", "[security_token]\nsend = []", "its aud does not carry"),
            ("", "[security_token]\nresource_parameter = \"https://other.example\"", "400 invalid_target"),
            (
                "",
                "[security_token]\nrequested_token_type = \"urn:example:token-type:security-token\"",
                "issued_token_type",
            ),
        ],
    },
    Row {
        preset: "rauthy",
        home: r#"{"home": {"exchange": {"one_target": true, "resource": "optional", "audience_values": "registered", "requested_token_types": ["urn:ietf:params:oauth:token-type:access_token"],
            "subject_token_types": ["urn:ietf:params:oauth:token-type:access_token"]}, "token": {"audience": ["target"]}}}"#,
        partner: PLAIN,
        broker_keys: "",
        partner_keys: "",
        wrong: &[
            ("-", "", "400 invalid_request"),
            ("", "[security_token]\nsend = [\"audience\", \"resource\"]", "400 invalid_request"),
        ],
    },
    Row {
        preset: "sap",
        home: "sap",
        partner: TAKES_ALIAS,
        broker_keys: "",
        partner_keys: "[security_token]\nresource_parameter = \"urn:sap:identity:application:provider:name:county\"\naudience = \"county\"",
        wrong: &[
            (
                "-",
                "[security_token]\nresource_parameter = \"urn:sap:identity:application:provider:name:county\"\naudience = \"county\"",
                "the home IdM issued an opaque token",
            ),
            ("", "", "400 invalid_target"),
            (
                "",
                "[security_token]\nresource_parameter = \"urn:sap:identity:application:provider:name:county\"",
                "its aud does not carry",
            ),
        ],
    },
    Row {
        preset: "spring",
        home: "spring",
        partner: r#"{"partner": {"assertion": {"audience": ["alias"]}}}"#,
        broker_keys: "",
        partner_keys: "[security_token]\naudience = \"mcx-broker\"",
        wrong: &[
            ("", "", "its aud does not carry"),
            ("", "[security_token]\nsubject_token_type = \"id_token\"", "400 unsupported_token_type"),
        ],
    },
    Row {
        preset: "ts33180",
        home: "ts33180-annex-b",
        partner: PLAIN,
        broker_keys: "",
        partner_keys: "",
        wrong: &[("-", "", "subject token: it has no claim iss")],
    },
    Row {
        preset: "uaa",
        home: "uaa",
        partner: TAKES_ALIAS,
        broker_keys: "",
        partner_keys: "[security_token]\naudience = \"county\"",
        wrong: &[
            ("-", "[security_token]\naudience = \"county\"", "400 invalid_grant"),
            ("", "[security_token]\naudience = \"nobody\"", "400 invalid_grant"),
        ],
    },
    Row {
        preset: "wso2",
        home: "wso2",
        partner: PLAIN,
        broker_keys: "",
        partner_keys: "",
        wrong: &[
            ("-", "", "its aud does not carry"),
            ("", "[security_token]\naudience = \"https://other.example\"", "400 invalid_target"),
        ],
    },
    Row {
        preset: "zitadel",
        home: "zitadel",
        partner: PLAIN,
        broker_keys: "",
        partner_keys: "",
        wrong: &[
            ("-", "", "400 invalid_target"),
            ("", "[security_token]\nrequested_token_type = \"\"", "issued_token_type"),
            ("", "[security_token]\naudience = \"https://other.example\"", "400 invalid_target"),
            ("", "[security_token]\nscope = [\"openid\", \"3gpp:mc:data_service\"]", "400 invalid_scope"),
        ],
    },
];
