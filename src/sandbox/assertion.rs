//! Grants against a token of a trusted issuer: `jwt-bearer` (RFC 7523 §2.1, B.7.4, B.7.5) and token exchange in the partner role.

use serde_json::{Map, Value, json};

use super::behaviour::{Account, AssertionRules, Behaviour, Check, ClientIdInBody, ServerName};
use super::clients::Client;
use super::exchange::required;
use super::idm::Idm;
use super::mistake::{Mistake, Refusal};
use super::parameters::Parameters;
use super::response::Granted;
use super::token::Failure;
use super::tokens::{Issued, Kind, Scopes, scopes, spaced, texts};
use super::trust::TrustedIssuer;
use super::users::User;
use crate::jose::UnverifiedToken;
use crate::random;

/// B.7.4.
pub(super) async fn jwt_bearer(
    idm: &Idm,
    client: &Client,
    parameters: &Parameters,
) -> Result<Map<String, Value>, Failure> {
    let behaviour = idm.behaviour();
    if !behaviour.partner.jwt_bearer {
        return Err(Mistake::UnsupportedGrant.into());
    }
    if client.is_public() && !behaviour.partner.public_clients {
        return Err(Mistake::PublicClient.into());
    }
    let demanded = behaviour.authentication.client_id_in_body == ClientIdInBody::Required;
    if demanded && parameters.get("client_id").is_none() {
        return Err(Mistake::ClientIdMissing.into());
    }
    let assertion = parameters.required("assertion")?;
    required(&behaviour.partner.required_parameters, parameters)?;
    grant(idm, client, parameters, assertion, None).await
}

/// RFC 8693 with a foreign subject token; the parameters were looked at before.
pub(super) async fn exchange(
    idm: &Idm,
    client: &Client,
    parameters: &Parameters,
    subject_token: &str,
    issued_type: &str,
) -> Result<Map<String, Value>, Failure> {
    grant(idm, client, parameters, subject_token, Some(issued_type)).await
}

async fn grant(
    idm: &Idm,
    client: &Client,
    parameters: &Parameters,
    token: &str,
    issued_type: Option<&str>,
) -> Result<Map<String, Value>, Failure> {
    let behaviour = idm.behaviour();
    let rules = &behaviour.partner.response;
    let token = UnverifiedToken::parse(token).map_err(|_| Refusal::from(Mistake::AssertionMalformed))?;
    let issuer =
        token.unverified_claims().get("iss").and_then(Value::as_str).ok_or(Mistake::IssuerMissing)?;
    let trusted = idm.trust.find(issuer);
    let authentic = match &trusted {
        Some(trusted) => idm.trust.verifies(&idm.outbound, trusted, &token).await,
        None => false,
    };
    let requested_scope = parameters.get("scope");
    let scrutiny = Scrutiny {
        idm,
        behaviour: &behaviour,
        client,
        token: &token,
        issuer,
        trusted,
        authentic,
        requested_scope,
    };
    let (subject, scope) = scrutiny.judge()?;

    let family = random::id();
    let mut claims = idm.times(rules.lifetime);
    claims.insert("iss".to_owned(), json!(idm.issuer()));
    claims.insert("sub".to_owned(), json!(subject));
    claims.insert("aud".to_owned(), json!(parameters.get("resource").unwrap_or(&idm.base)));
    claims.insert("client_id".to_owned(), json!(client.id));
    claims.insert("scope".to_owned(), json!(spaced(&scope)));
    claims.insert("jti".to_owned(), json!(random::id()));
    let access_token = idm.write(rules.format_for(parameters), "at+jwt", true, &claims)?;
    let issued = Issued {
        kind: Kind::Access,
        subject: subject.clone(),
        client: client.id.clone(),
        scope: scope.clone(),
        expires: claims.get("exp").and_then(Value::as_i64).unwrap_or_default(),
        family: family.clone(),
        claims,
    };
    idm.tokens.remember(&access_token, issued, idm.now());
    let refresh_token =
        rules.refresh_token.then(|| idm.issue_refresh_token(&subject, &client.id, &scope, &family));
    let id_token = if rules.wants_id_token(&scope) {
        Some(idm.issue_id_token(&subject, &client.id, &family, &Map::new())?)
    } else {
        None
    };
    Ok(rules.render(&Granted {
        access_token,
        issued_token_type: issued_type,
        scope: &scope,
        requested_scope,
        refresh_token,
        id_token,
    }))
}

/// One token of a foreign issuer before the checks.
struct Scrutiny<'s> {
    idm: &'s Idm,
    behaviour: &'s Behaviour,
    client: &'s Client,
    token: &'s UnverifiedToken,
    issuer: &'s str,
    trusted: Option<TrustedIssuer>,
    /// Whether the signature is the issuer's.
    authentic: bool,
    requested_scope: Option<&'s str>,
}

impl Scrutiny<'_> {
    /// Makes the checks in the behaviour's order. Gives the user and the scope.
    fn judge(&self) -> Result<(String, Scopes), Refusal> {
        let rules = &self.behaviour.partner.assertion;
        let mut subject = String::new();
        let mut scope = Scopes::new();
        for check in &rules.checks {
            match check {
                Check::Typ => self.typ(rules)?,
                Check::Kid => self.kid(rules)?,
                Check::Issuer => self.issuer()?,
                Check::Algorithm => self.algorithm(rules)?,
                Check::Signature if self.authentic => {}
                Check::Signature => return Err(Mistake::Signature.into()),
                Check::Times => self.times(rules)?,
                Check::Audience => self.audience(rules)?,
                Check::ClientClaim => self.client_claim(rules)?,
                Check::User => subject = self.user(rules)?,
                Check::Scope => scope = self.scope()?,
                Check::Jti => self.jti(rules)?,
            }
        }
        Ok((subject, scope))
    }

    fn claim(&self, name: &str) -> Option<&Value> {
        self.token.unverified_claims().get(name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claim(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A NumericDate, in whole seconds.
    fn date(&self, name: &str) -> Option<i64> {
        self.claim(name).and_then(Value::as_i64)
    }

    fn typ(&self, rules: &AssertionRules) -> Result<(), Refusal> {
        let typ = self.token.header().typ.as_deref().unwrap_or_default();
        let fits = rules.types.is_empty() || rules.types.iter().any(|known| known.eq_ignore_ascii_case(typ));
        if fits { Ok(()) } else { Err(Refusal::new(Mistake::TokenType, typ)) }
    }

    fn kid(&self, rules: &AssertionRules) -> Result<(), Refusal> {
        if rules.kid_required && self.token.header().kid.is_none() {
            return Err(Mistake::KeyIdMissing.into());
        }
        Ok(())
    }

    fn issuer(&self) -> Result<(), Refusal> {
        if self.trusted.is_none() {
            return Err(Refusal::new(Mistake::IssuerUnknown, self.issuer));
        }
        Ok(())
    }

    fn algorithm(&self, rules: &AssertionRules) -> Result<(), Refusal> {
        let algorithm = self.token.header().algorithm.as_str();
        let fits = rules.algorithms.is_empty() || rules.algorithms.iter().any(|known| known == algorithm);
        if fits { Ok(()) } else { Err(Refusal::new(Mistake::Algorithm, algorithm)) }
    }

    fn times(&self, rules: &AssertionRules) -> Result<(), Refusal> {
        let now = self.idm.now();
        let ahead = rules.skew.max(0);
        let seconds = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
        let expires = self.date("exp").ok_or(Mistake::ExpiryMissing)?;
        if expires.saturating_add(rules.skew) <= now {
            return Err(Mistake::Expired.into());
        }
        let issued = self.date("iat");
        if rules.iat_required && issued.is_none() {
            return Err(Mistake::IssuedAtMissing.into());
        }
        if [issued, self.date("nbf")].into_iter().flatten().any(|date| date.saturating_sub(ahead) > now) {
            return Err(Mistake::NotYetValid.into());
        }
        let age = issued.map(|issued| now.saturating_sub(issued));
        if rules.max_age > 0 && age.is_some_and(|age| age > seconds(rules.max_age).saturating_add(ahead)) {
            return Err(Mistake::TooOld.into());
        }
        let measured = issued.is_none() || !rules.lifetime_without_iat_only;
        let longest = seconds(rules.max_lifetime).saturating_add(ahead);
        if measured && rules.max_lifetime > 0 && expires.saturating_sub(now) > longest {
            return Err(Mistake::LifetimeTooLong.into());
        }
        Ok(())
    }

    fn audience(&self, rules: &AssertionRules) -> Result<(), Refusal> {
        if rules.audience.is_empty() {
            return Ok(());
        }
        let presented = texts(self.claim("aud"));
        if rules.single_audience && presented.len() > 1 {
            return Err(Mistake::AudienceMultiple.into());
        }
        let alias = self.trusted.as_ref().and_then(|trusted| trusted.alias.clone());
        let names = rules.audience.iter().filter_map(|name| match name {
            ServerName::Issuer => Some(self.idm.issuer()),
            ServerName::TokenEndpoint => Some(self.idm.token_endpoint()),
            ServerName::Alias => alias.clone(),
        });
        if names.into_iter().any(|name| presented.contains(&name)) {
            return Ok(());
        }
        Err(Refusal::new(Mistake::Audience, presented.join(" ")))
    }

    fn client_claim(&self, rules: &AssertionRules) -> Result<(), Refusal> {
        if rules.client_claim && self.text("client_id") != Some(&self.client.id) {
            return Err(Mistake::ClientClaim.into());
        }
        Ok(())
    }

    fn user(&self, rules: &AssertionRules) -> Result<String, Refusal> {
        let subject = self.text("sub").ok_or(Mistake::SubjectMissing)?;
        let named = self.text(&rules.subject_claim).ok_or(Mistake::SubjectMissing)?;
        let account = self.idm.users.linked(&rules.subject_claim, named);
        match (rules.account, account) {
            (Account::None, _) => Ok(subject.to_owned()),
            (_, Some(user)) if user.disabled => Err(Mistake::UserDisabled.into()),
            (_, Some(user)) => Ok(user.subject),
            (Account::Linked, None) => Err(Mistake::UserUnknown.into()),
            (Account::JustInTime, None) => {
                let user = User { subject: subject.to_owned(), ..User::new(named) };
                self.idm.users.add(user);
                Ok(subject.to_owned())
            }
        }
    }

    fn scope(&self) -> Result<Scopes, Refusal> {
        let own = self.claim("scope").map(|scope| scopes(Some(scope)));
        let rules = &self.behaviour.partner.scope;
        let scope = rules.grant(self.client, self.requested_scope, own.as_ref(), |_| false)?;
        let trusted = self.trusted.as_ref().map(|trusted| trusted.scopes.as_slice()).unwrap_or_default();
        match scope.iter().find(|scope| !trusted.is_empty() && !trusted.contains(scope)) {
            Some(beyond) => Err(Refusal::new(Mistake::ScopeUnknown, beyond)),
            None => Ok(scope),
        }
    }

    fn jti(&self, rules: &AssertionRules) -> Result<(), Refusal> {
        let Some(id) = self.text("jti") else {
            return if rules.jti_required { Err(Mistake::JwtIdMissing.into()) } else { Ok(()) };
        };
        let until = self.date("exp").unwrap_or(i64::MAX).saturating_add(rules.skew.max(0));
        let id = format!("assertion {} {id}", self.issuer);
        if rules.jti_once && !self.idm.replay.spend(id, until, self.idm.now()) {
            return Err(Mistake::Replay.into());
        }
        Ok(())
    }
}
