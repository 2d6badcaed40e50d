//! What operators answer for: the build that runs, its files, its keys and its audit log.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Metrics, OutcomeLabels, PREFIX};

/// The cargo features of this build.
const FEATURES: [(&str, bool); 2] =
    [("sandbox", cfg!(feature = "sandbox")), ("vendored-openssl", cfg!(feature = "vendored-openssl"))];

pub(super) struct Operations {
    started: Gauge<f64, AtomicU64>,
    reloads: Family<OutcomeLabels, Counter>,
    files_ok: Gauge,
    partner_files: Listed<PartnerLabels>,
    certificates: Listed<CertificateLabels>,
    home_keys_age: Family<SourceLabels, Gauge<f64, AtomicU64>>,
    audit_lost: Counter,
    spans: Family<OutcomeLabels, Counter>,
}

/// Gauges of a list that is replaced as a whole. At no moment is one missing that was there before and is after.
struct Listed<L> {
    gauges: Family<L, Gauge>,
    known: Mutex<HashSet<L>>,
}

impl<L: Clone + Eq + Hash> Default for Listed<L> {
    fn default() -> Self {
        Self { gauges: Family::default(), known: Mutex::default() }
    }
}

impl<L: Clone + Eq + Hash> Listed<L> {
    fn set(&self, rows: impl Iterator<Item = (L, i64)>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now: HashMap<L, i64> = rows.collect();
        for (labels, value) in &now {
            self.gauges.get_or_create_owned(labels).set(*value);
        }
        for gone in known.iter().filter(|labels| !now.contains_key(labels)) {
            self.gauges.remove(gone);
        }
        *known = now.into_keys().collect();
    }
}

/// What became of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpanFate {
    /// It ended, and was queued if there was room.
    Ended,
    /// The collector took it.
    Sent,
    /// The collector did not.
    Lost,
}

impl SpanFate {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Sent => "sent",
            Self::Lost => "lost",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    features: String,
    revision: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartnerLabels {
    partner: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    file: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: &'static str,
}

impl Operations {
    /// In the registry without a prefix: one name is everybody's.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let started = Gauge::default();
        registry.register_with_unit(
            "process_start_time",
            "When this process started, since 1970",
            Unit::Seconds,
            started.clone(),
        );
        let registry = registry.sub_registry_with_prefix(PREFIX);
        let build: Family<BuildLabels, Gauge> = Family::default();
        build.get_or_create_owned(&build_labels()).set(1);
        registry.register("build_info", "The build that runs", build);
        let (reloads, files_ok): (Family<OutcomeLabels, Counter>, Gauge) = Default::default();
        for outcome in ["ok", "failed"] {
            drop(reloads.get_or_create(&OutcomeLabels { outcome }));
        }
        registry.register("reloads", "Times that the configuration's files were read again", reloads.clone());
        registry.register(
            "configuration_ok",
            "Whether every file was usable when it was last read",
            files_ok.clone(),
        );
        files_ok.set(1);
        let (partner_files, certificates) = (Listed::default(), Listed::default());
        registry.register(
            "partner_file_ok",
            "Whether a partner's file is usable",
            partner_files.gauges.clone(),
        );
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When a certificate that is shown ends, since 1970",
            Unit::Seconds,
            certificates.gauges.clone(),
        );
        let home_keys_age = Family::default();
        registry.register_with_unit(
            "home_keys_age",
            "Since the home IdM's keys were fetched",
            Unit::Seconds,
            home_keys_age.clone(),
        );
        let audit_lost = Counter::default();
        registry.register(
            "audit_lost_records",
            "Audit records that could not be written",
            audit_lost.clone(),
        );
        let spans: Family<OutcomeLabels, Counter> = Family::default();
        for fate in [SpanFate::Ended, SpanFate::Sent, SpanFate::Lost] {
            drop(spans.get_or_create(&OutcomeLabels { outcome: fate.as_str() }));
        }
        registry.register("trace_spans", "Spans of traced requests, by what became of them", spans.clone());
        Self { started, reloads, files_ok, partner_files, certificates, home_keys_age, audit_lost, spans }
    }
}

/// `MCX_BROKER_REVISION` in the environment of the build says of which revision it is.
fn build_labels() -> BuildLabels {
    let features: Vec<&str> = FEATURES.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    BuildLabels {
        version: env!("CARGO_PKG_VERSION"),
        features: features.join(","),
        revision: option_env!("MCX_BROKER_REVISION").unwrap_or("unknown"),
    }
}

impl Metrics {
    /// When the process started, in milliseconds since 1970.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
    pub fn started(&self, unix_millis: i64) {
        self.0.operations.started.set(unix_millis as f64 / 1000.0);
    }

    /// Spans of traced requests.
    pub fn spans(&self, fate: SpanFate, spans: u64) {
        self.0.operations.spans.get_or_create(&OutcomeLabels { outcome: fate.as_str() }).inc_by(spans);
    }

    /// The files were read again; whether all were usable.
    pub fn reloaded(&self, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        self.0.operations.reloads.get_or_create(&OutcomeLabels { outcome }).inc();
        self.0.operations.files_ok.set(i64::from(ok));
    }

    /// Every partner that there is a file of, or was when it could be used last, and whether it can be used.
    pub fn partner_files<'p>(&self, files: impl IntoIterator<Item = (&'p str, bool)>) {
        let row =
            |(partner, ok): (&str, bool)| (PartnerLabels { partner: partner.to_owned() }, i64::from(ok));
        self.0.operations.partner_files.set(files.into_iter().map(row));
    }

    /// Every certificate that is shown: the key that names its file, and when it ends, in seconds since 1970.
    pub fn certificates(&self, ends: impl IntoIterator<Item = (String, i64)>) {
        let row = |(file, ends)| (CertificateLabels { file }, ends);
        self.0.operations.certificates.set(ends.into_iter().map(row));
    }

    /// How many seconds ago the home IdM's keys were fetched from its `jwks_uri`; infinite: they never were. Those of a file are
    /// not fetched. Told when somebody asks.
    pub fn home_keys_age(&self, seconds: f64) {
        let source = SourceLabels { source: "jwks_uri" };
        self.0.operations.home_keys_age.get_or_create_owned(&source).set(seconds);
    }

    /// Audit records that were lost.
    pub fn audit_lost(&self, records: u64) {
        self.0.operations.audit_lost.inc_by(records);
    }
}
