//! When a token is fetched, under a stopped clock.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A token endpoint that counts; the n-th token is `t<n>`.
#[derive(Clone, Default)]
struct Endpoint {
    calls: Arc<AtomicU32>,
    down: Arc<Mutex<bool>>,
    life: Option<f64>,
}

impl Endpoint {
    fn fetch(&self) -> impl Future<Output = Result<Token, Error>> + Send + use<> {
        let this = self.clone();
        async move {
            let asked_at = Instant::now();
            let call = this.calls.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
            match *this.down.lock().unwrap() {
                true => Err(Error::Fenced { call: format!("call {call}") }),
                false => Ok(Token::new(format!("t{call}").into(), this.life, asked_at)),
            }
        }
    }

    fn down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn value(tokens: &Arc<Tokens>, endpoint: &Endpoint) -> String {
    tokens.get(|| endpoint.fetch()).await.unwrap().value().to_owned()
}

async fn pass(time: Duration) {
    // Sleeping lets background tasks run, unlike `advance`.
    tokio::time::sleep(time).await;
}

fn hour() -> Endpoint {
    Endpoint { life: Some(3600.0), ..Endpoint::default() }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_behind_the_calls_before_it_ends() {
    let (tokens, endpoint) = (Arc::<Tokens>::default(), hour());
    assert_eq!(value(&tokens, &endpoint).await, "t1");
    pass(39 * MINUTE).await;
    assert_eq!(value(&tokens, &endpoint).await, "t1");
    assert_eq!(endpoint.calls(), 1);
    pass(MINUTE).await;
    assert_eq!(value(&tokens, &endpoint).await, "t1", "no caller waits for the new one");
    assert_eq!(value(&tokens, &endpoint).await, "t1");
    pass(MINUTE).await;
    assert_eq!(value(&tokens, &endpoint).await, "t2");
    assert_eq!(endpoint.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failing_renewal_is_tried_each_minute_while_the_old_token_serves() {
    let (tokens, endpoint) = (Arc::<Tokens>::default(), hour());
    value(&tokens, &endpoint).await;
    pass(40 * MINUTE).await;
    endpoint.down(true);
    for _ in 0..50 {
        assert_eq!(value(&tokens, &endpoint).await, "t1");
        pass(Duration::from_secs(6)).await;
    }
    let renewals = endpoint.calls() - 1;
    assert!((4..=6).contains(&renewals), "{renewals} in 5 minutes");
    pass(20 * MINUTE).await;
    tokens.get(|| endpoint.fetch()).await.err().expect("the old token has ended");
    endpoint.down(false);
    assert!(
        value(&tokens, &endpoint).await.starts_with('t'),
        "an ended token is fetched at once, without back-off"
    );
}

#[tokio::test(start_paused = true)]
async fn many_callers_share_one_fetch_and_its_failure() {
    for down in [false, true] {
        let (tokens, endpoint) = (Arc::<Tokens>::default(), hour());
        endpoint.down(down);
        let calls = (0..50).map(|_| tokens.get(|| endpoint.fetch()));
        let outcomes = futures::future::join_all(calls).await;
        assert_eq!(endpoint.calls(), 1);
        assert!(outcomes.iter().all(|outcome| outcome.is_err() == down));
        endpoint.down(false);
        value(&tokens, &endpoint).await;
        assert_eq!(endpoint.calls(), 1 + u32::from(down), "a failure is not kept for later callers");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_leaves_the_fetch_to_the_next() {
    let (tokens, endpoint) = (Arc::<Tokens>::default(), hour());
    let first = tokio::time::timeout(Duration::from_millis(10), tokens.get(|| endpoint.fetch()));
    let (gone, next) = tokio::join!(first, value(&tokens, &endpoint));
    assert!(gone.is_err());
    assert_eq!(next, "t2");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_forgotten_once() {
    let (tokens, endpoint) = (Arc::<Tokens>::default(), hour());
    let old = tokens.get(|| endpoint.fetch()).await.unwrap();
    assert!(tokens.refused(&old));
    assert_eq!(value(&tokens, &endpoint).await, "t2");
    assert!(tokens.refused(&old), "there is another one");
    assert_eq!(value(&tokens, &endpoint).await, "t2", "the new token is not dropped for the old one's fault");
}

/// A thousand calls in ten minutes are all refused: new tokens are requested in growing steps.
#[tokio::test(start_paused = true)]
async fn if_new_tokens_are_refused_too_few_are_requested() {
    let (tokens, endpoint) = (Arc::<Tokens>::default(), hour());
    for _ in 0..1000 {
        let token = tokens.get(|| endpoint.fetch()).await.unwrap();
        tokens.refused(&token);
        pass(Duration::from_millis(600)).await;
    }
    assert!((8..=20).contains(&endpoint.calls()), "{}", endpoint.calls());
}

/// Tokens last for three seconds, whatever the endpoint says: each is replaced when it is refused.
#[tokio::test(start_paused = true)]
async fn a_token_is_replaced_at_once_where_that_helps() {
    let (tokens, endpoint) = (Arc::<Tokens>::default(), hour());
    for _ in 0..20 {
        let token = tokens.get(|| endpoint.fetch()).await.unwrap();
        pass(Duration::from_secs(3)).await;
        assert!(tokens.refused(&token));
        tokens.get(|| endpoint.fetch()).await.unwrap();
        tokens.helped();
    }
    assert_eq!(endpoint.calls(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_senseless_life_is_made_sane() {
    for (life, least, most) in [
        (None, 30, 60),
        (Some(0.0), 30, 60),
        (Some(-5.0), 30, 60),
        (Some(f64::NAN), 30, 60),
        (Some(f64::INFINITY), 80_000, 90_000),
        (Some(1e300), 80_000, 90_000),
        (Some(1.0), 0, 1),
        (Some(3600.0), 3500, 3570),
    ] {
        let now = Instant::now();
        let token = Token::new("t".to_owned().into(), life, now);
        let served = (token.stale_at - now).as_secs();
        assert!((least..=most).contains(&served), "{life:?}: {served} s");
        assert!(token.renew_at <= token.stale_at);
    }
}
