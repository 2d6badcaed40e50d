//! A partner file that changes a hundred times under ten thousand requests: nobody is refused, and nobody is served by a
//! definition that was replaced.
//!
//! Each version of the file has a name of its own for the scope that everybody gets, so an answer says which one it was made
//! under, a kept one too. Two versions differ in nothing else: without the epoch in the key, what is kept would be handed out.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use mcx_token_broker::sandbox::Endpoint;

use crate::support::federation::{Federation, GROUP_MANAGEMENT, PARTNER, Setup, merged};
use crate::support::until;

const REQUESTS: usize = 10_000;
const CHANGES: usize = 100;
/// Changes that nobody is told of: one of each kind. Each takes the broker a second or two to notice.
const UNTOLD: [usize; 3] = [22, 52, 82];

#[derive(Default)]
struct Progress {
    asked: AtomicUsize,
    /// The version that counts, as far as was told.
    in_force: AtomicUsize,
    /// The version that was written last, or is being written.
    written: AtomicUsize,
    is_over: AtomicBool,
}

/// Every tenth change cannot be used.
const fn is_bad(version: usize) -> bool {
    version % 10 == 9
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_changes_under_ten_thousand_requests_fail_none_and_serve_nothing_stale() {
    let federation = Setup::new().quick_keys().start().await;
    let file = federation.broker.read(&format!("partners/{PARTNER}.toml"));
    let progress = Progress::default();
    put(&federation, 0, &text(&file, 0));
    assert_eq!(federation.broker.reload().await.status, 200);

    let users = [0, 1, 2, 3].map(|number| federation.token_of(number));
    let [a, b, c, d] = users.each_ref().map(|token| ask_until_it_is_over(&federation, token, &progress));
    tokio::join!(a, b, c, d, change(&federation, &file, &users[0], &progress));

    let asked = progress.asked.load(SeqCst);
    assert!(asked >= REQUESTS, "{asked} requests");
    let obtained = federation.partner.requests(Endpoint::Token);
    let versions = (0..=CHANGES).filter(|version| !is_bad(*version)).count();
    assert!(
        obtained <= versions * users.len(),
        "{obtained} tokens for {versions} versions: the rest was kept"
    );
}

async fn ask_until_it_is_over(federation: &Federation, token: &str, progress: &Progress) {
    while !progress.is_over.load(SeqCst) || progress.asked.load(SeqCst) < REQUESTS {
        ask(federation, token, progress).await;
    }
}

/// Asks, and says which version it was answered by: one that counted when it was sent, or a later one.
async fn ask(federation: &Federation, token: &str, progress: &Progress) -> usize {
    let least = progress.in_force.load(SeqCst);
    let answer = federation.spawn_exchange(token, &[]).await.unwrap();
    let most = progress.written.load(SeqCst);
    progress.asked.fetch_add(1, SeqCst);
    assert_eq!(answer.status, 200, "between {least} and {most}: {}", answer.text);
    let scope = answer.text_of("scope");
    let version: usize = scope.strip_prefix("version-").and_then(|number| number.parse().ok()).unwrap();
    assert!((least..=most).contains(&version), "{version} is not between {least} and {most}");
    version
}

/// A change for every hundred requests.
async fn change(federation: &Federation, file: &str, token: &str, progress: &Progress) {
    for version in 1..=CHANGES {
        let due = version * REQUESTS / CHANGES;
        until("so many have asked", async || progress.asked.load(SeqCst) >= due).await;
        progress.written.store(version, SeqCst);
        if is_bad(version) {
            put(federation, version, "resource = ");
            assert_eq!(federation.broker.reload().await.status, 409);
            assert_eq!(ask(federation, token, progress).await, version - 1, "the last good one goes on");
            continue;
        }
        put(federation, version, &text(file, version));
        if UNTOLD.contains(&version) {
            until("it is noticed", async || ask(federation, token, progress).await == version).await;
        } else {
            let answer = federation.broker.reload().await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        progress.in_force.store(version, SeqCst);
        assert_eq!(ask(federation, token, progress).await, version);
    }
    progress.is_over.store(true, SeqCst);
}

fn text(file: &str, version: usize) -> String {
    let scopes = format!(
        "[scopes]\nallowed = [\"version-{version}\"]\ndefault = [\"version-{version}\"]\n\
         map = {{ version-{version} = \"{GROUP_MANAGEMENT}\" }}"
    );
    merged(file, &scopes)
}

/// A third of the changes each: a file that is moved into place, one that is written where it is, and one behind links, of
/// which one is moved, as Kubernetes does with a `ConfigMap`.
fn put(federation: &Federation, version: usize, text: &str) {
    let (name, directory) = (format!("{PARTNER}.toml"), federation.broker.directory().join("partners"));
    match version * 3 / CHANGES {
        0 => federation.broker.write(&format!("partners/{name}"), text),
        1 => std::fs::write(directory.join(name), text).unwrap(),
        _ => move_link(&directory, &name, version, text),
    }
}

fn move_link(directory: &Path, name: &str, version: usize, text: &str) {
    let at = |name: &str| directory.join(name);
    let [before, now] = [version - 1, version].map(|version| format!("..{version}"));
    std::fs::create_dir(at(&now)).unwrap();
    std::fs::write(at(&now).join(name), text).unwrap();
    symlink(&now, at("..moving")).unwrap();
    std::fs::rename(at("..moving"), at("..data")).unwrap();
    if at(&before).is_dir() {
        std::fs::remove_dir_all(at(&before)).unwrap();
    } else {
        symlink(Path::new("..data").join(name), at("link")).unwrap();
        std::fs::rename(at("link"), at(name)).unwrap();
    }
}
