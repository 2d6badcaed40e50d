//! Signing a user in: authorization code with PKCE on a loopback redirect (B.4; RFC 6749 §4.1, RFC 7636, RFC 8252 §7.3).

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use url::Url;

use super::mcx_client::{AuthorizationCode, ClientError, McxClient, TokenAnswer, printable};
use crate::oauth::form::Form;
use crate::random;
use crate::secret::{Secret, sha256};

/// A request head longer than this is no redirect of ours.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Browsers open connections in advance and send nothing on them.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Who is to be signed in, and what for.
#[derive(Debug, Clone, Default)]
pub(super) struct LoginTerms {
    pub(super) issuer: String,
    pub(super) scope: String,
    pub(super) acr_values: Option<String>,
    pub(super) login_hint: Option<String>,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    /// The servers.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The loopback listener.
    #[error("loopback cannot be listened on")]
    Listen(#[from] io::Error),
    /// Not a URL that one can go to.
    #[error("the authorization endpoint is not a URL")]
    AuthorizationEndpoint,
    /// The IdM said no (RFC 6749 §4.1.2.1).
    #[error("the login was refused: {0}")]
    Refused(String),
    /// RFC 9207: the answer is another server's, which would be handed the code of this one.
    #[error("the answer names another issuer than the one that was asked")]
    Issuer,
    /// Nobody signed in.
    #[error("nobody signed in within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
}

/// A login that has begun: the user is to open [`Login::url`].
pub(super) struct Login<'c> {
    client: &'c McxClient,
    listener: TcpListener,
    url: Url,
    redirect_uri: String,
    token_endpoint: String,
    verifier: Secret,
    expected: Expected,
}

/// What the redirect must carry.
#[derive(Debug, Clone)]
struct Expected {
    state: String,
    issuer: String,
}

impl<'c> Login<'c> {
    /// Finds the server's endpoints and listens for the redirect.
    pub(super) async fn begin(client: &'c McxClient, terms: &LoginTerms) -> Result<Self, LoginError> {
        let endpoints = client.endpoints(&terms.issuer);
        let authorization_endpoint = endpoints.authorization().await?;
        let token_endpoint = endpoints.token().await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let redirect_uri = format!("http://{}/callback", listener.local_addr()?);
        let verifier = Secret::from(random::secret());
        let expected = Expected { state: random::id(), issuer: terms.issuer.clone() };
        let mut url = Url::parse(&authorization_endpoint).map_err(|_| LoginError::AuthorizationEndpoint)?;
        // It is handed to the desktop's opener, which opens files and programs too.
        let local = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        if url.scheme() != "https" && !(url.scheme() == "http" && local) {
            return Err(LoginError::AuthorizationEndpoint);
        }
        let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.expose().as_bytes()));
        url.query_pairs_mut()
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", &client.id),
                ("redirect_uri", &redirect_uri),
                ("scope", &terms.scope),
                ("state", &expected.state),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ])
            .extend_pairs(terms.acr_values.as_deref().map(|values| ("acr_values", values)))
            .extend_pairs(terms.login_hint.as_deref().map(|hint| ("login_hint", hint)));
        Ok(Self { client, listener, url, redirect_uri, token_endpoint, verifier, expected })
    }

    /// Where the user signs in (B.4.2.2).
    pub(super) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Where the IdM sends the user back to.
    pub(super) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Waits for the redirect (B.4.2.3) and exchanges the code (B.4.2.4).
    pub(super) async fn finish(self, limit: Duration) -> Result<TokenAnswer, LoginError> {
        let code = tokio::time::timeout(limit, redirected(&self.listener, &self.expected));
        let code = code.await.map_err(|_| LoginError::Timeout(limit))??;
        let code = AuthorizationCode { code, redirect_uri: self.redirect_uri, verifier: self.verifier };
        Ok(self.client.redeem(&self.token_endpoint, &code).await?)
    }
}

/// Serves the redirect URI until the answer to our request arrives there. Any page in the user's browser can send
/// requests here: what does not carry our `state` is turned away and waited past.
async fn redirected(listener: &TcpListener, expected: &Expected) -> Result<Secret, LoginError> {
    let expected = Arc::new(expected.clone());
    let (answers, mut answered) = mpsc::channel(1);
    loop {
        tokio::select! {
            Some(answer) = answered.recv() => return answer,
            connection = listener.accept() => {
                let (connection, _) = connection?;
                let (expected, answers) = (Arc::clone(&expected), answers.clone());
                tokio::spawn(async move {
                    let served = tokio::time::timeout(HEAD_TIMEOUT, serve(connection, &expected)).await;
                    if let Ok(Ok(Some(answer))) = served {
                        // The first answer ends the wait.
                        let _ = answers.try_send(answer);
                    }
                });
            }
        }
    }
}

async fn serve(
    mut connection: TcpStream,
    expected: &Expected,
) -> io::Result<Option<Result<Secret, LoginError>>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
        if connection.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let answer = expected.judge(&head);
    let (status, text) = match &answer {
        None => ("404 Not Found", "This is not the answer that is waited for."),
        Some(Ok(_)) => ("200 OK", "Signed in. You may close this page."),
        Some(Err(_)) => ("400 Bad Request", "Not signed in: see the terminal."),
    };
    let page = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    connection.write_all(page.as_bytes()).await?;
    connection.shutdown().await?;
    Ok(answer)
}

impl Expected {
    /// What a request to the listener means: the code, the refusal, or (`None`) nothing to do with this login.
    fn judge(&self, head: &[u8]) -> Option<Result<Secret, LoginError>> {
        let line = std::str::from_utf8(head).ok()?.lines().next()?;
        let target = line.strip_prefix("GET ")?.split(' ').next()?;
        let query = target.strip_prefix("/callback?")?;
        let parameters = Form::parse(query.as_bytes()).ok()?;
        // Nobody but the server that was asked, and the browser, knows it (RFC 6749 §10.12).
        if !Secret::from(self.state.as_str()).matches(parameters.get("state")?) {
            return None;
        }
        if parameters.get("iss").is_some_and(|issuer| issuer != self.issuer) {
            return Some(Err(LoginError::Issuer));
        }
        if let Some(error) = parameters.get("error") {
            let description = parameters.get("error_description").unwrap_or_default();
            let text =
                if description.is_empty() { error.to_owned() } else { format!("{error}: {description}") };
            return Some(Err(LoginError::Refused(printable(&text))));
        }
        parameters.get("code").map(|code| Ok(Secret::from(code)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_our_request_ends_the_wait() {
        let expected = Expected { state: "s1".to_owned(), issuer: "https://idm.example".to_owned() };
        let judged = |query: &str| match expected.judge(format!("GET {query} HTTP/1.1\r\n\r\n").as_bytes()) {
            None => "ignored".to_owned(),
            Some(Ok(code)) => code.expose().to_owned(),
            Some(Err(error)) => error.to_string(),
        };
        for (query, outcome) in [
            ("/callback?code=c1&state=s1", "c1"),
            ("/callback?code=c1&state=s1&iss=https%3A%2F%2Fidm.example", "c1"),
            (
                "/callback?code=c1&state=s1&iss=https%3A%2F%2Fevil.example",
                "the answer names another issuer than the one that was asked",
            ),
            ("/callback?error=access_denied&state=s1", "the login was refused: access_denied"),
            (
                "/callback?error=access_denied&error_description=no%1B%5B2J&state=s1",
                "the login was refused: access_denied: no\u{fffd}[2J",
            ),
            ("/callback?error=access_denied&state=s2", "ignored"),
            ("/callback?code=c1&state=s2", "ignored"),
            ("/callback?code=c1", "ignored"),
            ("/callback?code=c1&code=c2&state=s1", "ignored"),
            ("/callback?state=s1", "ignored"),
            ("/favicon.ico", "ignored"),
            ("/", "ignored"),
        ] {
            assert_eq!(judged(query), outcome, "{query}");
        }
        for head in [&b""[..], b"\r\n\r\n", b"POST /callback?code=c1&state=s1 HTTP/1.1\r\n\r\n", b"\xff\xfe"]
        {
            assert!(expected.judge(head).is_none());
        }
    }
}
