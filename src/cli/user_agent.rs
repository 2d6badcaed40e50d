//! What stands between a client and its user: a browser, or, without one, a client that follows redirects.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::login::Login;
use super::mcx_client::TokenAnswer;
use super::peer::TrustOptions;
use crate::http::Resolver;

/// Opens `url` in the user's browser, if there is one: the URL has been printed anyway.
pub(super) fn open_browser(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // A missing browser is no error, and one that runs outlives this process.
    drop(command.spawn());
}

/// Signs in without a person, where no password is asked, as at the sandbox: follows the redirects from the
/// authorization endpoint to where the client listens.
pub(super) async fn sign_in(
    agent: &reqwest::Client,
    login: Login<'_>,
    limit: Duration,
) -> anyhow::Result<TokenAnswer> {
    let (url, redirect_uri) = (login.url().to_owned(), login.redirect_uri().to_owned());
    let finish = async { login.finish(limit).await.map_err(anyhow::Error::from) };
    let (answer, ()) = tokio::try_join!(finish, follow(agent, &url, &redirect_uri))?;
    Ok(answer)
}

async fn follow(agent: &reqwest::Client, url: &str, redirect_uri: &str) -> anyhow::Result<()> {
    let response = agent.get(url).send().await.map_err(reqwest::Error::without_url);
    let response = response.context("the authorization endpoint")?;
    if !response.url().as_str().starts_with(redirect_uri) {
        let status = response.status().as_u16();
        bail!(
            "the authorization endpoint answered {status} instead of a redirect: it wants a person, or does not know this client, user or scope"
        );
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a browser, which follows redirects: the broker's client never does"
)]
pub(super) fn client(trust: &TrustOptions) -> anyhow::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .dns_resolver(Arc::new(Resolver::default()))
        .timeout(Duration::from_secs(10));
    if let Some(pem) = trust.ca_pem()? {
        builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?);
    }
    Ok(builder.build()?)
}
