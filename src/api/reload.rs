//! `POST /api/reload` on the admin listener, and the way from there to whoever reads the files.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::files::{self, FileProblem};
use super::{AdminApi, admin};

/// What came of reading the files again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReloadReport {
    /// Partners that came, went or changed.
    pub changed: Vec<String>,
    /// What is wrong, with file, key and what to write. What those files said before goes on.
    #[serde(serialize_with = "files::lines")]
    pub problems: Vec<FileProblem>,
    /// Sections that changed, and count from the next start on.
    pub restart: Vec<&'static str>,
}

/// Asks for a reload; clones ask the same one.
#[derive(Debug, Clone)]
pub struct Reloads(mpsc::Sender<Asked>);

/// Where requests for a reload arrive.
#[derive(Debug)]
pub struct ReloadRequests(mpsc::Receiver<Asked>);

/// Somebody waits for a reload.
#[derive(Debug)]
pub struct Asked(oneshot::Sender<ReloadReport>);

impl Reloads {
    /// Both ends.
    pub fn channel() -> (Self, ReloadRequests) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), ReloadRequests(receiver))
    }

    /// Has the files read again; `None`: this broker reads none.
    pub async fn ask(&self) -> Option<ReloadReport> {
        let (sender, report) = oneshot::channel();
        self.0.send(Asked(sender)).await.ok()?;
        report.await.ok()
    }
}

impl ReloadRequests {
    /// The next one; `None`: nobody will ask any more.
    pub async fn next(&mut self) -> Option<Asked> {
        self.0.recv().await
    }
}

impl Asked {
    /// Tells whoever waits.
    pub fn answer(self, report: ReloadReport) {
        // Whoever asked may have hung up.
        let _ = self.0.send(report);
    }
}

/// Reads the files again: 200 if all is well, 409 with what is wrong.
pub async fn post(request: HttpRequest, api: Data<AdminApi>) -> HttpResponse {
    if let Some(refusal) = admin::refuse_change(&request, &api) {
        return refusal;
    }
    match api.reloads.ask().await {
        Some(report) if report.problems.is_empty() => HttpResponse::Ok().json(report),
        Some(report) => HttpResponse::Conflict().json(report),
        None => HttpResponse::ServiceUnavailable().finish(),
    }
}
