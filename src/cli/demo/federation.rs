//! The servers of the demonstration: two sandboxes, and the broker as it runs in production.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context as _;

use super::workspace::Workspace;
use crate::app::App;
use crate::clock::Clock;
use crate::config::{self, Sources};
use crate::sandbox::{Endpoint, Sandbox, SandboxOptions, TrustedIssuer};
use crate::server::{Running, ServerError};

/// How often another free port is looked for, when some process was faster.
const ATTEMPTS: usize = 5;

/// A home domain, a partner domain, and the broker between them.
pub(super) struct Federation {
    home: Sandbox,
    partner: Sandbox,
    broker: Running,
    _workspace: Workspace,
}

impl Federation {
    /// `listen`: where the broker listens; a free port by default.
    pub(super) async fn start(listen: Option<SocketAddr>, clock: &Clock) -> anyhow::Result<Self> {
        let idm = || SandboxOptions { clock: clock.clone(), ..SandboxOptions::default() };
        let home = Sandbox::start(idm()).await?;
        let partner = Sandbox::start(idm()).await?;
        partner.trust(TrustedIssuer::sandbox(&home.issuer()));
        home.add_target(&partner.issuer());
        let workspace = Workspace::create(&partner.issuer()).context("the temporary directory")?;
        let broker = start_broker(&workspace, &home.issuer(), listen, clock)?;
        Ok(Self { home, partner, broker, _workspace: workspace })
    }

    /// Who is where.
    pub(super) fn introduction(&self) -> String {
        let (home, partner) = (self.home_issuer(), self.partner_issuer());
        format!(
            "A federation in one process, on loopback, in memory (TS 33.180 Annex B):\n\n  \
             home IdM      {home}\n  partner IdM   {partner}  with its group management service\n  \
             broker        {}  admin: {}\n",
            self.broker_url(),
            self.admin_url()
        )
    }

    pub(super) fn home_issuer(&self) -> String {
        self.home.issuer()
    }

    /// Also what clients send as `resource`.
    pub(super) fn partner_issuer(&self) -> String {
        self.partner.issuer()
    }

    pub(super) fn broker_url(&self) -> String {
        format!("http://{}", self.broker.public)
    }

    pub(super) fn admin_url(&self) -> String {
        format!("http://{}", self.broker.admin)
    }

    /// Where group documents are.
    pub(super) fn groups_url(&self) -> String {
        self.partner.gms_url()
    }

    /// Token requests that the home and the partner IdM have got.
    pub(super) fn token_requests(&self) -> (usize, usize) {
        (self.home.requests(Endpoint::Token), self.partner.requests(Endpoint::Token))
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.broker.stop().await?;
        self.home.stop().await;
        self.partner.stop().await;
        Ok(())
    }
}

/// The broker's issuer names its port, so a free port is chosen before it is bound, and another one when some process
/// was faster.
fn start_broker(
    workspace: &Workspace,
    home: &str,
    listen: Option<SocketAddr>,
    clock: &Clock,
) -> anyhow::Result<Running> {
    if let Some(address) = listen.filter(|address| address.port() != 0) {
        return Ok(wired(workspace, home, address, clock)?.start()?);
    }
    let mut attempts = 0..ATTEMPTS;
    loop {
        match wired(workspace, home, free_address()?, clock)?.start() {
            Err(ServerError::Bind { .. }) if attempts.next().is_some() => {}
            started => return Ok(started?),
        }
    }
}

/// The production broker, from files and what a command line would add to them.
fn wired(workspace: &Workspace, home: &str, listen: SocketAddr, clock: &Clock) -> anyhow::Result<App> {
    let overrides = [
        ("server.listen", listen.to_string()),
        ("server.issuer", format!("http://{listen}")),
        ("admin.listen", SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string()),
        ("home.issuer", home.to_owned()),
    ];
    let configuration = config::load(&Sources {
        may_name_unknown_partners: false,
        files: vec![workspace.broker_file()],
        // The demonstration is the same wherever it runs.
        environment: Vec::new(),
        overrides: overrides.map(|(key, value)| (key.to_owned(), value)).into(),
        partners: Some(workspace.partners()),
    })?;
    App::wire(&configuration, clock).map_err(|problems| {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(problems.join("\n"))
    })
}

/// A loopback address that was free a moment ago.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
