//! Switches over HTTP, for people: `POST /sandbox/...` with a JSON body, from this machine only.

use serde::Deserialize;
use serde_json::{Value, json};

use super::behaviour::Behaviour;
use super::endpoint::Endpoint;
use super::faults::Fault;
use super::idm::Idm;
use super::reply::Reply;

#[derive(Deserialize)]
struct SetFault {
    endpoint: Endpoint,
    #[serde(default)]
    times: Option<u32>,
    #[serde(flatten)]
    fault: Fault,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClearFault {
    #[serde(default)]
    endpoint: Option<Endpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetBehaviour {
    profile: String,
}

/// Turns a switch. `json` says whether the body is declared as JSON: a web page cannot do that to another origin
/// without being asked, so that no page that the user happens to visit turns switches here.
pub(super) fn control(idm: &Idm, path: &str, loopback: bool, is_json: bool, body: &[u8]) -> Reply {
    if !loopback {
        return failure(403, "the switches work from this machine only");
    }
    if !is_json {
        return failure(415, "Content-Type must be application/json");
    }
    match turn(idm, path, body) {
        Ok(Some(answer)) => Reply::json(answer),
        Ok(None) => failure(404, "no such switch: fault, clear, behaviour, rotate"),
        Err(error) => failure(400, &error),
    }
}

fn turn(idm: &Idm, path: &str, body: &[u8]) -> Result<Option<Value>, String> {
    match path.trim_start_matches("/sandbox/") {
        "fault" => {
            let set: SetFault = read(body)?;
            idm.faults.set(set.endpoint, set.fault, set.times);
        }
        "clear" => match read::<ClearFault>(body)?.endpoint {
            Some(endpoint) => idm.faults.clear(endpoint),
            None => idm.faults.clear_all(),
        },
        "behaviour" => {
            let name = read::<SetBehaviour>(body)?.profile;
            let known = Behaviour::profile_names().collect::<Vec<_>>().join(", ");
            idm.set_behaviour(
                Behaviour::profile(&name).ok_or(format!("no such profile; there are: {known}"))?,
            );
        }
        "rotate" => idm.keys.rotate(false).map_err(|error| error.to_string())?,
        _ => return Ok(None),
    }
    Ok(Some(json!({ "done": true, "behaviour": idm.behaviour().name })))
}

fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn failure(status: u16, text: &str) -> Reply {
    let mut reply = Reply::json(json!({ "error": text }));
    reply.status = status;
    reply
}
