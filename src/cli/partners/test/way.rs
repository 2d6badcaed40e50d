//! The way to a server: name, connection, certificate.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use url::Url;

use super::line::{Line, Report, Verdict};
use super::side::Side;
use crate::clock::Timestamp;
use crate::http::{ConnectFault, Reach, Shown};

/// The end of the year 9999, which is as far as dates are written.
const LAST_SECOND: u64 = 253_402_300_799;
/// Renewing one takes days, where a person does it.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

impl Side<'_> {
    /// Looks at the way to `url`; whether there is one.
    pub(super) async fn check_way(&self, url: &str, report: &mut Report) -> io::Result<bool> {
        let host = Url::parse(url).ok().and_then(|url| {
            let port = url.port_or_known_default()?;
            url.host_str().map(|host| format!("{host}:{port}"))
        });
        let (Some(host), Ok(reach)) = (host, self.idm.reach(url).await) else {
            let finding = self.finding("home_endpoints", "partner_endpoints", "the issuer is not a URL");
            let line = Line::new(self.leg, "dns", Verdict::Failed, url, "not https (or http to loopback)");
            return report.add(line.because(finding));
        };
        let (checks, stopped) = (self.steps(url, &host, &reach), reach.stopped.is_some());
        for line in checks {
            report.add(line)?;
        }
        Ok(!stopped)
    }

    fn steps(&self, url: &str, host: &str, reach: &Reach) -> Vec<Line> {
        let mut lines =
            vec![self.step("dns", format!("look up {host}"), addresses(reach), reach, &[ConnectFault::Name])];
        if !reach.addresses.is_empty() {
            let got = reach.connected.map_or(String::new(), |address| format!("{address} takes connections"));
            lines.push(self.step("tcp", format!("connect to {host}"), got, reach, &[ConnectFault::Tcp]));
        }
        if reach.connected.is_some() && url.starts_with("https:") {
            lines.push(self.tls(host, reach));
        }
        lines
    }

    fn step(
        &self,
        check: &'static str,
        tried: String,
        got: String,
        reach: &Reach,
        faults: &[ConnectFault],
    ) -> Line {
        match reach.stopped.filter(|fault| faults.contains(fault)) {
            None => Line::new(self.leg, check, Verdict::Ok, tried, got),
            Some(fault) => self.unreachable(check, tried, fault.to_string(), fault),
        }
    }

    fn unreachable(&self, check: &'static str, tried: String, got: String, fault: ConnectFault) -> Line {
        let finding = self.finding("home_unreachable", "partner_unreachable", &fault.to_string());
        Line::new(self.leg, check, Verdict::Failed, tried, got).because(finding)
    }

    fn tls(&self, host: &str, reach: &Reach) -> Line {
        let tried = format!("TLS with {host}");
        let now = self.now();
        let shown =
            reach.certificates.iter().map(|shown| described(shown, now)).collect::<Vec<_>>().join("; ");
        if let Some(fault) = reach.stopped {
            return self.unreachable("tls", tried, format!("{fault}: {shown}"), fault);
        }
        let first = reach.certificates.iter().map(|shown| shown.not_after).min();
        let ends_soon = first.is_some_and(|end| end < now.plus(SOON));
        if !ends_soon {
            return Line::new(self.leg, "tls", Verdict::Ok, tried, shown);
        }
        let finding = self.finding("", "", "the certificate ends soon");
        Line::new(self.leg, "tls", Verdict::Warning, tried, shown).because(finding)
    }
}

fn addresses(reach: &Reach) -> String {
    let addresses: Vec<String> = reach.addresses.iter().map(|address| address.ip().to_string()).collect();
    addresses.join(", ")
}

fn described(shown: &Shown, now: Timestamp) -> String {
    let day = |time: Timestamp| time.unix_seconds().div_euclid(24 * 3600);
    let (end, days) = (shown.not_after, day(shown.not_after) - day(now));
    let seconds = u64::try_from(end.unix_seconds()).unwrap_or(0);
    let date = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND)));
    let when = if end < now {
        format!("ended {date}, {} days ago", -days)
    } else {
        format!("ends {date}, in {days} days")
    };
    format!("{shown}, {when}")
}
