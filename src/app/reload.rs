//! Files that change while the broker runs: partners, clients, rules, secrets and keys. All that is read again is put in
//! place only if it is whole: a bad partner file leaves that partner as it was, a bad broker file leaves all as it was. Partners,
//! clients and rules change in one moment, so that nobody is answered by half of one state and half of another; the keys and
//! secrets that they are used with, in the moment before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;

use super::inventory::{certificates, told};
use super::partners::{KnownPartners, revocation_guard};
use super::{Wiring, note_certificates};
use crate::api::files::{Certificate, FileProblem, Files, FilesRead};
use crate::api::{AdminToken, ReloadReport, ReloadRequests};
use crate::cache::TokenCache;
use crate::clock::Clock;
use crate::config::{self, Configuration, Problem, Sources, UnusablePartner};
use crate::exchange::{Definitions, Exchange};
use crate::home::SigningKeys;
use crate::jose::SigningKey;
use crate::partner::PartnerRegistry;
use crate::secret::digest_of_parts;
use crate::server::ShownCertificate;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::runbook::Runbook;

/// Between two looks at the files: a few `stat`s, whatever the editor, and whether a file was written or its link was moved
/// (Kubernetes) or it was renamed into place.
const LOOK: Duration = Duration::from_secs(1);

/// For whoever is told that a file cannot be used.
const BAD: Runbook<'static> = Runbook("McxBrokerConfigurationBad");

/// What is replaced when files change, and what the new is made with.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) exchange: Arc<Exchange>,
    pub(super) cache: Arc<TokenCache>,
    pub(super) partners: KnownPartners,
    /// What operators are shown.
    pub(super) files: FilesRead,
    /// What the public and the admin listener show.
    pub(super) listeners: [Option<ShownCertificate>; 2],
    /// What the home IdM is shown: as at the start, because connections are kept.
    pub(super) home_certificate: Option<Certificate>,
    pub(super) bearer_token: AdminToken,
    /// The key of this process's own, where the operator states none.
    pub(super) own_key: Option<SigningKey>,
}

/// Reads files again, and compares with how they were.
#[derive(Debug)]
pub(super) struct Reloader {
    sources: Sources,
    partners_directory: PathBuf,
    replaced: Replaced,
    /// Sections that count from the start on only, as they were then.
    fixed: Vec<(&'static str, String)>,
    files: Vec<PathBuf>,
    seen: BTreeMap<PathBuf, Option<Stamp>>,
    /// Another state, at the last look: one that is still being written is another again at the next.
    changing: Option<BTreeMap<PathBuf, Option<Stamp>>>,
    /// What was complained of last.
    complained: BTreeSet<String>,
}

/// What changes with a file's content, or with the file that a link leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Reloader {
    pub(super) fn new(configuration: &Configuration, replaced: Replaced) -> Self {
        let mut reloader = Self {
            sources: configuration.sources.clone(),
            partners_directory: configuration.partners_directory.clone(),
            replaced,
            fixed: fixed_sections(configuration),
            files: configuration.files.clone(),
            seen: BTreeMap::new(),
            changing: None,
            complained: BTreeSet::new(),
        };
        reloader.seen = reloader.look();
        reloader
    }

    /// Looks at the files from time to time, and whenever somebody asks.
    pub(super) async fn run(mut self, mut requests: ReloadRequests) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let metrics = self.replaced.metrics.clone();
        loop {
            let asked = tokio::select! {
                asked = requests.next() => match asked {
                    Some(asked) => Some(asked),
                    None => return,
                },
                _ = looks.tick() => None,
            };
            // Files are read, and may be on a network.
            let work = tokio::task::spawn_blocking(move || {
                let report = if asked.is_some() || self.has_changed() { Some(self.reload()) } else { None };
                (self, asked.zip(report))
            });
            let Ok((reloader, answer)) = work.await else {
                tracing::error!(
                    runbook = %BAD,
                    "reading the configuration again ended by a fault of ours: files count as they are until a restart"
                );
                metrics.reloaded(false);
                return;
            };
            self = reloader;
            if let Some((asked, report)) = answer {
                asked.answer(report);
            }
        }
    }

    /// Whether files are others than when they were read, and were so at the last look already: half a secret is not taken
    /// for one. While something is wrong it is tried again: what was missing may have come.
    fn has_changed(&mut self) -> bool {
        let now = self.look();
        if now == self.seen {
            self.changing = None;
            return !self.complained.is_empty();
        }
        let is_steady = self.changing.as_ref() == Some(&now);
        self.changing = (!is_steady).then_some(now);
        is_steady
    }

    fn look(&self) -> BTreeMap<PathBuf, Option<Stamp>> {
        let listed = config::partner_files(&self.partners_directory).unwrap_or_default();
        let files = self.files.iter().cloned().chain(listed);
        files.map(|path| (path.clone(), Stamp::of(&path))).collect()
    }

    fn reload(&mut self) -> ReloadReport {
        self.seen = self.look();
        let outcome = config::load_tolerating_partners(&self.sources)
            .map_err(|problems| problems.into_iter().collect())
            .and_then(|configuration| self.apply(&configuration));
        let report = match outcome {
            Ok(report) => report,
            Err(problems) => self.all_as_it_was(told(&problems)),
        };
        self.tell(&report);
        self.replaced.metrics.reloaded(report.problems.is_empty());
        report
    }

    /// The problems of partners' files are among them.
    fn all_as_it_was(&self, problems: Vec<FileProblem>) -> ReloadReport {
        let mut files = Files::clone(&self.replaced.files.load());
        files.read_at = self.replaced.clock.now();
        files.problems.clone_from(&problems);
        for partner in &mut files.partners {
            partner.problems.clear();
        }
        self.replaced.files.store(Arc::new(files));
        ReloadReport { problems, ..ReloadReport::default() }
    }

    /// Puts the whole in place, or nothing of it.
    fn apply(&mut self, configuration: &Configuration) -> Result<ReloadReport, Vec<Problem>> {
        let mut wiring = Wiring::new(configuration, &self.replaced.clock, self.replaced.metrics.clone());
        wiring.signing = match &self.replaced.own_key {
            Some(own) if configuration.signing.is_empty() => vec![own.clone()],
            _ => wiring.signing_keys(),
        };
        let clients = wiring.client_list();
        let registration = wiring.home_registration();
        let sealing = wiring.sealing_keys();
        let rules = wiring.rules();
        let renewed = wiring.server().certificates();
        if !self.replaced.partners.is_empty() && !configuration.partners_directory.is_dir() {
            let remedy = "create it, or start again without partners";
            wiring.problem(
                &configuration.partners_directory,
                "partners.directory",
                "is no directory any more",
                remedy,
            );
        }
        if !wiring.problems.is_empty() {
            return Err(wiring.problems);
        }
        let restart = changed_sections(&self.fixed, &fixed_sections(configuration));
        // What partners are made of comes from these, too, and half of it would count: whose the user is, and who issues.
        let are_as_started = !restart.iter().any(|section| matches!(*section, "server" | "home"));
        let (partners, unusable) = if are_as_started {
            wiring.partners(&self.replaced.partners)
        } else {
            wiring.partners_that_stay(&self.replaced.partners)
        };
        let problems = unusable.iter().flat_map(|partner: &UnusablePartner| &partner.problems);
        let mut report = ReloadReport { problems: told(problems), ..ReloadReport::default() };
        report.changed = partners.changed_from(&self.replaced.partners);
        report.restart.clone_from(&restart);
        let signing = SigningKeys::new(&wiring.signing);

        self.replaced.exchange.security_tokens.sign_with(signing);
        if let Some(registration) = registration.filter(|_| are_as_started) {
            self.replaced.exchange.security_tokens.idm().authenticate_as(registration);
        }
        if let Some(keys) = sealing {
            self.replaced.cache.seal_with(&keys);
        }
        // After the keys and secrets that they are used with.
        let clients = self.replaced.exchange.definitions().clients.replaced_by(clients);
        let partners_registry = PartnerRegistry::new(partners.all());
        self.replaced.exchange.redefine(Definitions { clients, partners: partners_registry, rules });
        for (shown, renewed) in self.replaced.listeners.iter().zip(&renewed) {
            if let (Some(shown), Some(renewed)) = (shown, renewed) {
                shown.show(renewed);
            }
        }
        let certificates =
            certificates(&self.replaced.listeners, self.replaced.home_certificate.as_ref(), &partners);
        note_certificates(&self.replaced.metrics, &certificates);
        let listed = wiring.files(&partners, &unusable, restart, certificates);
        let bad: BTreeSet<&str> = unusable.iter().map(|partner| partner.id.as_str()).collect();
        let files = partners.ids().chain(bad.iter().copied().filter(|id| !id.is_empty()));
        self.replaced.metrics.partner_files(files.map(|id| (id, !bad.contains(id))));
        // Taken out, it counts until the next start: what guards the listener beside it is not replaced either.
        if let Some(token) = &configuration.admin.bearer_token {
            self.replaced.bearer_token.store(Some(Arc::new(token.clone())));
        }
        for gone in report.changed.iter().filter(|id| !partners.have(id)) {
            self.replaced.metrics.unguarded(gone);
            self.replaced.metrics.unguarded(&revocation_guard(gone));
        }
        self.replaced.partners = partners;
        self.replaced.files.store(Arc::new(listed));
        self.files.clone_from(&configuration.files);
        self.partners_directory.clone_from(&configuration.partners_directory);
        if configuration.signing.is_empty() && self.replaced.own_key.is_none() {
            self.replaced.own_key = wiring.signing.first().cloned();
        }
        // What changed since it was read is another change.
        let read = std::mem::take(&mut self.seen);
        self.seen = self.look();
        for (path, stamp) in read {
            self.seen.entry(path).and_modify(|seen| *seen = stamp);
        }
        Ok(report)
    }

    /// Each complaint once, until it is gone or another.
    fn tell(&mut self, report: &ReloadReport) {
        let problems: BTreeSet<String> = report.problems.iter().map(ToString::to_string).collect();
        for problem in problems.difference(&self.complained) {
            tracing::error!(runbook = %BAD, "{problem}; what was read before goes on");
        }
        let mended = problems.is_empty() && !self.complained.is_empty();
        if mended || !report.changed.is_empty() {
            tracing::info!(partners = ?report.changed, "configuration read again");
        } else if problems.is_empty() {
            tracing::info!("configuration read again: clients, rules, secrets and keys");
        }
        for section in &report.restart {
            tracing::warn!(section, "changed, and counts from the next start on");
        }
        self.complained = problems;
    }
}

impl Stamp {
    /// Of the file that the path leads to; `None`: there is none.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self { modified: metadata.modified().ok(), bytes: metadata.len(), inode })
    }
}

/// What is not replaced while the broker runs. Secrets show in none of these texts; where they are replaced, they are left
/// out.
fn fixed_sections(configuration: &Configuration) -> Vec<(&'static str, String)> {
    let mut server = configuration.server.clone();
    let mut admin = configuration.admin.clone();
    for tls in [&mut server.tls, &mut admin.tls].into_iter().flatten() {
        tls.certificate.text.clear();
    }
    let mut home = configuration.home.clone();
    let client = home.client.take();
    let id = client.as_ref().map(|client| &client.id);
    let method = client.as_ref().map(|client| std::mem::discriminant(&client.authentication));
    // The connection shows it, and connections are kept.
    let certificate = client.as_ref().and_then(|client| match &client.authentication {
        config::Authentication::TlsClientAuth { certificate, key } => {
            let parts = [certificate.text.as_bytes(), key.content.expose().as_bytes()];
            Some(digest_of_parts(&parts))
        }
        _ => None,
    });
    let mut cache = configuration.cache.clone();
    let seals = !cache.sealing_keys.is_empty();
    cache.sealing_keys.clear();
    vec![
        ("server", format!("{server:?}")),
        ("admin", format!("{admin:?}")),
        ("log", format!("{:?}", configuration.log)),
        ("audit", format!("{:?}", configuration.audit)),
        ("traces", format!("{:?}", configuration.traces)),
        ("home", format!("{home:?} {id:?} {method:?} {certificate:?}")),
        ("cache", format!("{cache:?} {seals}")),
    ]
}

fn changed_sections(before: &[(&'static str, String)], now: &[(&'static str, String)]) -> Vec<&'static str> {
    before.iter().zip(now).filter(|(before, now)| before != now).map(|(before, _)| before.0).collect()
}
