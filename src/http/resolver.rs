//! Names of one peer, looked up a few at a time. A lookup takes a thread of a pool that all peers share, and cannot be given
//! up: without a limit, one peer whose name server hangs would take the threads that the others need to be reached.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

/// At a time. Connections that are kept need none.
const LOOKUPS: usize = 8;

/// The resolver does not know the name, or does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the name cannot be resolved: {0}")]
pub(super) struct Unknown(io::Error);

/// The system's resolver, for one peer. Names below `localhost` that it does not know are this machine (RFC 6761 §6.3), as in
/// browsers and curl; one that it does know is in a container, beside others.
#[derive(Debug)]
pub struct Resolver(Arc<Semaphore>);

impl Default for Resolver {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS)))
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookups = Arc::clone(&self.0);
        Box::pin(bounded(lookups, async move {
            // The port is the URL's.
            let addresses = look_up(name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        }))
    }
}

fn here(name: &str) -> Option<Vec<SocketAddr>> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.ends_with(".localhost").then(|| vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))])
}

/// The addresses of a name.
pub(super) async fn look_up(name: &str, port: u16) -> Result<Vec<SocketAddr>, Unknown> {
    match tokio::net::lookup_host((name, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => {
            let addresses = here(name).ok_or(Unknown(error))?;
            Ok(addresses.into_iter().map(|address| SocketAddr::new(address.ip(), port)).collect())
        }
    }
}

/// A task of its own, so that the place is taken until the lookup has ended, whoever has stopped waiting for it.
async fn bounded<T: Send + 'static>(
    lookups: Arc<Semaphore>,
    lookup: impl Future<Output = Result<T, Unknown>> + Send + 'static,
) -> Result<T, Box<dyn std::error::Error + Send + Sync>> {
    let place = lookups.acquire_owned().await?;
    let looked_up = tokio::spawn(async move {
        let _place = place;
        lookup.await
    });
    Ok(looked_up.await??)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::Notify;

    use super::*;

    #[test]
    fn only_names_below_localhost_are_here() {
        for name in ["idm.home.localhost", "IDM.LOCALHOST", "idm.localhost."] {
            assert_eq!(here(name), Some(vec!["127.0.0.1:0".parse().unwrap()]), "{name}");
        }
        for name in ["idm.home.example", "localhost.example", "notlocalhost", ""] {
            assert_eq!(here(name), None, "{name}");
        }
    }

    #[tokio::test]
    async fn who_stops_waiting_does_not_make_room_before_the_lookup_has_ended() {
        let (lookups, answer) = (Arc::new(Semaphore::new(1)), Arc::new(Notify::new()));
        let answered = Arc::clone(&answer);
        let hanging = bounded(Arc::clone(&lookups), async move {
            answered.notified().await;
            Ok(())
        });
        assert!(Box::pin(hanging).as_mut().now_or_never().is_none(), "and given up");
        assert_eq!(lookups.available_permits(), 0);
        let mut next = Box::pin(bounded(Arc::clone(&lookups), async { Ok(()) }));
        tokio::task::yield_now().await;
        assert!(next.as_mut().now_or_never().is_none(), "there is no room");
        answer.notify_one();
        assert!(next.await.is_ok());
    }
}
