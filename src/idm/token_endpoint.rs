//! One request to a token endpoint (RFC 6749 §3.2): never repeated here, because what it carries may be good once only.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use zeroize::Zeroizing;

use super::{ClientRegistration, Endpoints, Guard, IdmError};
use crate::clock::Clock;
use crate::http::{Answer, HttpClient};
use crate::oauth::form;
use crate::oauth::refusal::Refusal;
use crate::oauth::token_response::TokenResponse;

/// The parameters of one request, in order, each once. They hold tokens, so they are wiped.
#[derive(Clone, Default)]
pub struct Parameters(Vec<(&'static str, Zeroizing<String>)>, Vec<(String, String)>);

impl Parameters {
    /// States a parameter, replacing an earlier one of that name.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, Zeroizing::new(value.into())));
    }

    /// States a parameter if there is a value.
    pub fn set_if_some(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// Fixed parameters from configuration. They win over ours of the same name: the operator knows the server.
    pub fn extend_fixed(&mut self, fixed: &[(String, String)]) {
        self.1.extend_from_slice(fixed);
    }

    fn encode(&self) -> Zeroizing<String> {
        let ours = self
            .0
            .iter()
            .filter(|(name, _)| !self.1.iter().any(|(fixed, _)| fixed == name))
            .map(|(name, value)| (*name, value.as_str()));
        let fixed = self.1.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Zeroizing::new(form::encode(ours.chain(fixed)))
    }
}

/// An identity server with our registration there.
#[derive(Debug)]
pub struct Idm {
    pub(super) endpoints: Endpoints,
    pub(super) product: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) registration: ArcSwapOption<ClientRegistration>,
    pub(super) http: HttpClient,
    pub(super) guard: Guard,
    pub(super) clock: Clock,
}

impl Idm {
    /// `registration`: `None` when we only read its keys. `guard`: of its token endpoint.
    pub fn new(
        endpoints: Endpoints,
        registration: Option<ClientRegistration>,
        http: HttpClient,
        guard: Guard,
        clock: Clock,
    ) -> Self {
        let client_id = registration.as_ref().map(|registration| registration.id.clone());
        let registration = ArcSwapOption::new(registration.map(Arc::new));
        Self { endpoints, product: None, client_id, registration, http, guard, clock }
    }

    /// The same, known to be this product: the preset that its file names. It changes nothing but how failures are explained.
    #[must_use]
    pub fn of_product(self, product: Option<&str>) -> Self {
        Self { product: product.map(str::to_owned), ..self }
    }

    /// The product, where its file names one.
    pub fn product(&self) -> Option<&str> {
        self.product.as_deref()
    }

    /// From the next call on this is how we authenticate: a secret or a key was replaced. The id stays.
    pub fn authenticate_as(&self, registration: ClientRegistration) {
        if Some(&registration.id) == self.client_id.as_ref() {
            self.registration.store(Some(Arc::new(registration)));
        }
    }

    /// What stands before its token endpoint.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Our client id there.
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// Asks its token endpoint once, when the guard lets us. `client_id`: sent instead of our own id, where the partner knows
    /// the MCX client itself (B.7.4). `user`: as in [`Guard::call`].
    pub async fn request_token(
        &self,
        mut parameters: Parameters,
        client_id: Option<&str>,
        user: Option<[u8; 16]>,
    ) -> Result<TokenResponse, IdmError> {
        let call = async {
            let url = self.endpoints.token_endpoint(&self.http).await?;
            let answer = self.post(&url, &url, &mut parameters, client_id).await?;
            read_token_response(&answer)
        };
        self.guard.call(user, call).await
    }

    /// Posts an authenticated form to another of its endpoints (introspection, revocation), which has a guard of its own,
    /// and returns the body of a 200. `client_id`: as in [`Idm::request_token`].
    pub async fn post_authenticated(
        &self,
        guard: &Guard,
        url: &str,
        mut parameters: Parameters,
        client_id: Option<&str>,
    ) -> Result<Zeroizing<Vec<u8>>, IdmError> {
        let call = async {
            let token_endpoint = self.endpoints.token_endpoint(&self.http).await?;
            let answer = self.post(url, &token_endpoint, &mut parameters, client_id).await?;
            if answer.status == 200 { Ok(answer.body) } else { Err(failure(&answer)) }
        };
        guard.call(None, call).await
    }

    /// Fetches a public document: a key set.
    pub async fn fetch(&self, url: &str) -> Result<Zeroizing<Vec<u8>>, IdmError> {
        let answer = self.http.get(url).await?;
        if answer.status == 200 { Ok(answer.body) } else { Err(failure(&answer)) }
    }

    /// Its key set's address.
    pub async fn jwks_uri(&self) -> Result<String, IdmError> {
        self.endpoints.jwks_uri(&self.http).await
    }

    /// Its revocation endpoint's address.
    pub async fn revocation_endpoint(&self) -> Result<String, IdmError> {
        self.endpoints.revocation_endpoint(&self.http).await
    }

    /// Its introspection endpoint's address.
    pub async fn introspection_endpoint(&self) -> Result<String, IdmError> {
        self.endpoints.introspection_endpoint(&self.http).await
    }

    async fn post(
        &self,
        url: &str,
        token_endpoint: &str,
        parameters: &mut Parameters,
        client_id: Option<&str>,
    ) -> Result<Answer, IdmError> {
        let authorization = match &*self.registration.load() {
            None => None,
            Some(registration) => {
                let issuer = self.endpoints.issuer();
                registration.apply(parameters, issuer, token_endpoint, self.clock.now())?
            }
        };
        parameters.set_if_some("client_id", client_id);
        Ok(self.http.post_form(url, parameters.encode(), authorization.as_ref()).await?)
    }
}

fn read_token_response(answer: &Answer) -> Result<TokenResponse, IdmError> {
    // A 200 that carries an `error` is an error: some servers answer so.
    if answer.status != 200 || Refusal::parse(answer.status, &answer.body).is_some() {
        return Err(failure(answer));
    }
    TokenResponse::parse(&answer.body).map_err(|error| IdmError::Nonsense(error.to_string()))
}

fn failure(answer: &Answer) -> IdmError {
    if let Some(unavailable) = IdmError::unavailable(answer) {
        return unavailable;
    }
    match Refusal::parse(answer.status, &answer.body) {
        Some(refusal) if refusal.error == "temporarily_unavailable" => {
            IdmError::Unavailable { status: answer.status, retry_after: answer.retry_after }
        }
        Some(refusal) => IdmError::Refused(refusal),
        None if answer.status == 401 => IdmError::Refused(Refusal::bare_unauthorized()),
        None => IdmError::Nonsense(format!("status {} without an OAuth error", answer.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operators_fixed_parameter_wins_and_none_is_repeated() {
        let mut parameters = Parameters::default();
        parameters.set("scope", "a");
        parameters.set("scope", "b");
        parameters.set_if_some("resource", None);
        parameters.set("audience", "x y");
        parameters.extend_fixed(&[("audience".to_owned(), "z".to_owned())]);
        assert_eq!(parameters.encode().as_str(), "scope=b&audience=z");
    }
}
