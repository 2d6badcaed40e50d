//! Names of one peer, looked up a few at a time. A lookup takes a thread of a pool that all peers share, and cannot be given
//! up: without a limit, one peer whose name server hangs would take the threads that the others need to be reached.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

/// At a time. Connections that are kept need none.
const LOOKUPS: usize = 8;

/// The system's resolver, for one peer.
#[derive(Debug)]
pub(super) struct Resolver(Arc<Semaphore>);

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
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        }))
    }
}

/// A task of its own, so that the place is taken until the lookup has ended, whoever has stopped waiting for it.
async fn bounded<T: Send + 'static>(
    lookups: Arc<Semaphore>,
    lookup: impl Future<Output = std::io::Result<T>> + Send + 'static,
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
