//! The steps of the demonstration: what an MCX client does, each checked.

use std::io;
use std::time::Duration;

use anyhow::{bail, ensure};
use serde_json::{Map, Value, json};

use super::federation::Federation;
use super::report::{Report, Shown, shortened, shortened_members};
use crate::cli::login::{Login, LoginTerms};
use crate::cli::mcx_client::{ClientError, ExchangeTerms, McxClient, TokenAnswer};
use crate::cli::peer::PeerOptions;
use crate::cli::peer::TrustOptions;
use crate::cli::user_agent;
use crate::oauth::{form, token_type};
use crate::secret::Token;

/// The client that the sandbox's home IdM knows without a secret.
pub(super) const CLIENT: &str = "mcptt_client";
/// Who signs in.
pub(super) const USER: &str = "alice";
/// What the home token is good for.
pub(super) const LOGIN_SCOPE: &str = "openid 3gpp:mc:ptt_group_management_service";
/// A scope that the partner file does not allow.
const REFUSED_SCOPE: &str = "3gpp:mc:ptt_key_management_service";
/// A group of the partner domain.
const GROUP: &str = "sip:tactical-1@mcx.county-fire.example";
/// A login that takes longer than this does not happen: nobody is asked for anything.
const PATIENCE: Duration = Duration::from_secs(10);
/// Larger than any group document here.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// What the steps leave for the user to try.
pub(super) struct Tokens {
    pub(super) home: TokenAnswer,
    pub(super) partner: TokenAnswer,
}

/// The client of the demonstration.
pub(super) struct Steps<'f> {
    federation: &'f Federation,
    client: McxClient,
    agent: reqwest::Client,
    /// The broker's.
    token_endpoint: String,
}

impl<'f> Steps<'f> {
    /// Does beforehand what is not to be timed.
    pub(super) async fn prepare(federation: &'f Federation) -> anyhow::Result<Self> {
        let http = PeerOptions::default().http()?;
        let client = McxClient { id: CLIENT.to_owned(), secret: None, http };
        let token_endpoint = client.endpoints(&federation.broker_url()).token().await?;
        Ok(Self { federation, client, agent: user_agent::client(&TrustOptions::default())?, token_endpoint })
    }

    /// All steps in order. A step that needs what a failed one should have brought is left out.
    pub(super) async fn run(&self, report: &mut Report) -> io::Result<Option<Tokens>> {
        let Some(home) = report.step("login", self.login()).await? else { return Ok(None) };
        let token = home.access_token();
        let cold = report.step("cold_exchange", self.cold_exchange(&token)).await?;
        let Some(partner) = cold else { return Ok(None) };
        report.step("cached_exchange", self.cached_exchange(&token, &partner)).await?;
        report.step("group_document", self.group_document(&partner.access_token())).await?;
        report.step("refused_scope", self.refused_scope(&token)).await?;
        report.step("security_token", self.security_token(&token)).await?;
        Ok(Some(Tokens { home, partner }))
    }

    /// B.4.
    async fn login(&self) -> anyhow::Result<Shown<TokenAnswer>> {
        let terms = LoginTerms {
            issuer: self.federation.home_issuer(),
            scope: LOGIN_SCOPE.to_owned(),
            acr_values: None,
            login_hint: Some(USER.to_owned()),
        };
        let answer =
            user_agent::sign_in(&self.agent, Login::begin(&self.client, &terms).await?, PATIENCE).await?;
        let text = format!("{USER} signs in at the home IdM (code + PKCE): {}", answer.short());
        Ok(Shown { members: shortened_members(&answer), value: answer, text })
    }

    /// Both legs of B.7 behind one request.
    async fn cold_exchange(&self, home: &Token) -> anyhow::Result<Shown<TokenAnswer>> {
        let (answer, legs) = self.exchange(home, ExchangeTerms::default()).await?;
        ensure!(legs == (1, 1), "{} asked, where both legs were expected", asked(legs));
        let text = format!("{} asked: {}", asked(legs), answer.described());
        Ok(Shown { members: members(&answer, legs), value: answer, text })
    }

    /// The same again.
    async fn cached_exchange(&self, home: &Token, first: &TokenAnswer) -> anyhow::Result<Shown<()>> {
        let (answer, legs) = self.exchange(home, ExchangeTerms::default()).await?;
        ensure!(legs == (0, 0), "{} asked, where the cache should have answered", asked(legs));
        ensure!(answer.access_token().digest() == first.access_token().digest(), "it brought another token");
        let text = format!("{} asked: {}", asked(legs), answer.described());
        Ok(Shown { members: members(&answer, legs), value: (), text })
    }

    /// B.10: what it was all for.
    async fn group_document(&self, partner: &Token) -> anyhow::Result<Shown<()>> {
        let url = group_url(self.federation);
        let mut response = self.agent.get(&url).bearer_auth(partner.expose()).send().await?;
        let status = response.status().as_u16();
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            document.extend_from_slice(&chunk);
            ensure!(document.len() <= MAX_DOCUMENT_BYTES, "the group document is larger than allowed");
        }
        ensure!(status == 200, "the group management service answered {status}");
        let document = String::from_utf8(document)?;
        let Some(name) = display_name(&document) else { bail!("the group document has no display-name") };
        let members = document.matches("<entry ").count();
        Ok(Shown {
            value: (),
            text: format!("the partner's group {name} has {members} members"),
            members: object(json!({ "status": status, "group": name, "members": members })),
        })
    }

    /// Policy is asked on every request, cached or not.
    async fn refused_scope(&self, home: &Token) -> anyhow::Result<Shown<()>> {
        let terms = ExchangeTerms { scope: Some(REFUSED_SCOPE.to_owned()), ..ExchangeTerms::default() };
        match self.exchange(home, terms).await {
            Err(ClientError::Refused { status: 400, error, description }) if error == "invalid_scope" => {
                Ok(Shown {
                    value: (),
                    text: format!("{REFUSED_SCOPE}: 400 {error}"),
                    members: object(json!({
                        "status": 400, "error": error, "error_description": description, "scope": REFUSED_SCOPE,
                    })),
                })
            }
            Err(other) => Err(other.into()),
            Ok(_) => bail!("a token with {REFUSED_SCOPE} was granted"),
        }
    }

    /// B.7.3 only, for clients that do B.7.4 themselves.
    async fn security_token(&self, home: &Token) -> anyhow::Result<Shown<()>> {
        let terms = ExchangeTerms {
            requested_token_type: Some(token_type::JWT.to_owned()),
            ..ExchangeTerms::default()
        };
        let (answer, legs) = self.exchange(home, terms).await?;
        ensure!(legs == (1, 0), "{} asked, where the first leg alone was expected", asked(legs));
        ensure!(
            answer.text("issued_token_type") == Some(token_type::JWT),
            "issued_token_type is not that of a JWT"
        );
        let text = format!("{} asked: {}, to be presented to the partner IdM", asked(legs), answer.short());
        Ok(Shown { members: members(&answer, legs), value: (), text })
    }

    /// An exchange at the broker, and how many token requests it cost the home and the partner IdM.
    async fn exchange(
        &self,
        home: &Token,
        terms: ExchangeTerms,
    ) -> Result<(TokenAnswer, (usize, usize)), ClientError> {
        let terms = ExchangeTerms { resource: Some(self.federation.partner_issuer()), ..terms };
        let before = self.federation.token_requests();
        let answer = self.client.exchange(&self.token_endpoint, home, &terms).await?;
        let after = self.federation.token_requests();
        Ok((answer, (after.0 - before.0, after.1 - before.1)))
    }
}

/// Where the group document is.
pub(super) fn group_url(federation: &Federation) -> String {
    format!("{}{}", federation.groups_url(), form::encode_value(GROUP))
}

impl TokenAnswer {
    /// The token itself.
    pub(super) fn access_token(&self) -> Token {
        Token::from(self.text("access_token").unwrap_or_default())
    }

    /// Seconds that the token is good for, as far as the server says.
    pub(super) fn expires_in(&self) -> Option<u64> {
        self.0.get("expires_in").and_then(Value::as_u64)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    fn short(&self) -> String {
        shortened(self.access_token().expose())
    }

    fn described(&self) -> String {
        let scope = self.text("scope").unwrap_or_default();
        format!("{} for {} s, {scope}", self.short(), self.expires_in().unwrap_or_default())
    }
}

fn asked(legs: (usize, usize)) -> &'static str {
    match legs {
        (0, 0) => "neither IdM",
        (_, 0) => "home IdM only",
        (0, _) => "partner IdM only",
        _ => "home and partner IdM",
    }
}

fn members(answer: &TokenAnswer, (home, partner): (usize, usize)) -> Map<String, Value> {
    let mut members = shortened_members(answer);
    members.insert("home_idm_requests".to_owned(), json!(home));
    members.insert("partner_idm_requests".to_owned(), json!(partner));
    members
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The first `display-name` of a group document (TS 24.481): the group's.
fn display_name(document: &str) -> Option<&str> {
    let (_, rest) = document.split_once("<display-name")?;
    let (_, rest) = rest.split_once('>')?;
    rest.split_once('<').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_own_name_is_read() {
        let document = r#"<list-service uri="x"><display-name xml:lang="en">Tactical 1</display-name>
            <list><entry uri="y"><rl:display-name>Alice</rl:display-name></entry></list></list-service>"#;
        assert_eq!(display_name(document), Some("Tactical 1"));
        assert_eq!(display_name("<group/>"), None);
    }
}
