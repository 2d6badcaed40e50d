//! `GET /api/status` on the admin listener: everything that the status page shows. The page is made from the same value.

mod overview;
mod partner;
mod time;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

pub(super) use overview::{CertificateStatus, GuardView, HomeStatus, KeyStatus, RedisState, Status};
pub(super) use partner::{FailureView, LastError, LegStatus, PartnerState, PartnerStatus};

pub(super) use time::written;

use super::{AdminApi, admin};

/// All of it.
pub async fn get(request: HttpRequest, api: Data<AdminApi>) -> HttpResponse {
    if let Some(refusal) = admin::refuse(&request, &api) {
        return refusal;
    }
    HttpResponse::Ok().json(Status::now(&api).await)
}
