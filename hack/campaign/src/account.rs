//! The simulated account, called in process: through a gate by the operator, directly by what prepares and checks it.

use std::sync::Arc;
use std::time::Duration;

use databricks_operator::databricks::{
    Client, Connection, Credentials, Exchange, Host, HostPolicy, NoResponse, Settings, Urgency,
};
use databricks_operator::engine::kind::{Driver, Permit, Reader, Writer};
use http::{HeaderValue, Request, Response};
use secrecy::SecretString;
use simulator::{Config, InUse, Simulator};

use crate::gate::{Answer, Call, Gate, Gone};
use crate::seed;
use crate::trace::Api;

/// Where the account is; nothing listens there.
const ADDRESS: &str = "127.0.0.1:8443";
/// The account.
pub const ACCOUNT: &str = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";
/// The service principal.
pub const CLIENT: &str = "5f6e7d8c-9b0a-4c1d-8e2f-3a4b5c6d7e8f";
/// Its secret, which must be seen nowhere else.
pub const SECRET: &str = "dose-canary-of-the-campaign";

/// The one that replaces it.
pub const NEXT_SECRET: &str = "dose-canary-the-next";
/// How long the operator's calls take.
const LATENCY: Duration = Duration::from_millis(1);
/// What the journal has as the trace of the calls of other clients than the operator.
pub const OTHERS: &str = "others";

/// An account at this time, epoch milliseconds, in which nothing takes time.
pub fn account(start_ms: u64) -> Simulator {
    let settings = simulator::Settings { token_lifetime_ms: 3_600_000, ..simulator::Settings::default() };
    let account = Simulator::in_process(Config {
        listen: ADDRESS.parse().expect("it is an address"),
        account_id: ACCOUNT.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: SECRET.to_owned(),
        start_ms: Some(start_ms),
        settings,
        ..Config::default()
    });
    let account = account.expect("no demo is to be set up");
    take(&account, 0);
    account
}

/// What takes time there takes so long from now on.
pub fn take(account: &Simulator, ms: u64) {
    account.set(|settings| {
        (settings.start_ms, settings.provisioning_ms, settings.deletion_ms) = (ms, ms, ms);
        (settings.endpoint_rule_creating_ms, settings.endpoint_rule_approval_ms) = (ms, Some(ms));
        settings.endpoint_rule_deactivated_ms = 0;
    });
}

/// How late the operator's reads may be, in seconds: LISTs, and all reads of IP access lists, whose kind promises to live with that.
const LATE: [[u64; 2]; 8] = [[0, 0], [0, 75], [2, 0], [8, 300], [0, 0], [0, 300], [0, 75], [8, 300]];

/// Draws how late the reads of an operator of these kinds are; returns whether any is.
pub fn late(account: &Simulator, kinds: &[&dyn Driver]) -> bool {
    let [list, ip_list] = LATE[seed::below(8) as usize].map(|seconds| 1000 * seconds);
    let ip_list = if kinds.iter().any(|kind| kind.kind() == "IpAccessList") { ip_list } else { 0 };
    account.set(|s| (s.list_lag_ms, s.ip_list_lag_ms) = (list, ip_list));
    list + ip_list > 0
}

/// Draws what is not documented, or was seen on some accounts only: the operator must live with either. Two settings are not drawn. A
/// default that the account shows for a setting that was never set is to be adopted, which a user has to ask for. And a budget to which the
/// edit of another client gave another id and another name cannot be recognised.
pub fn assume(account: &Simulator) {
    let (either, one_of) = (|| seed::below(2) == 0, |statuses: [u16; 2]| statuses[seed::below(2) as usize]);
    account.set(|s| {
        (s.refuse_duplicates, s.shuffle, s.unknown_fields) = (either(), either(), either());
        (s.lean_scim_lists, s.patches_in_part, s.rewrite_cidrs) = (either(), either(), either());
        (s.require_update_mask, s.guard_ip_list_deletes) = (either(), either());
        (s.missing_dashboard_status, s.other_account_status) = (one_of([404, 200]), one_of([404, 403]));
        (s.in_use, s.page_size) = (InUse::Rotate, [1, 2, 100][seed::below(3) as usize]);
    });
}

/// What others do is not late: a run is judged by what they read.
async fn at_once<T>(account: &Simulator, others: impl Future<Output = T>) -> T {
    let (mut list, mut ip_list) = (0, 0);
    account.set(|s| {
        list = std::mem::take(&mut s.list_lag_ms);
        ip_list = std::mem::take(&mut s.ip_list_lag_ms);
    });
    let done = others.await;
    // Another call of theirs may have set them to zero at the same time, and set them back.
    account.set(|s| {
        s.list_lag_ms = s.list_lag_ms.max(list);
        s.ip_list_lag_ms = s.ip_list_lag_ms.max(ip_list);
    });
    done
}

/// A writer for the account that no fault hits.
pub fn writer(account: &Simulator, secret: &str) -> Writer {
    let policy = HostPolicy { allow_loopback_http: true, ..HostPolicy::default() };
    let connection = Connection {
        host: Host::parse(&account.url(), &policy).expect("loopback is allowed"),
        account_id: ACCOUNT.to_owned(),
        client_id: CLIENT.to_owned(),
        credentials: Credentials::Secret(SecretString::from(secret.to_owned())),
        on_google: false,
    };
    let account = account.clone();
    let exchange = Exchange::new(move |mut request: Request<Vec<u8>>| {
        let account = account.clone();
        request.headers_mut().insert("traceparent", HeaderValue::from_static(OTHERS));
        async move { at_once(&account, answer(&account, request)).await.map_err(no_response) }
    });
    let settings = Settings {
        request_timeout: Duration::from_secs(5),
        requests_per_second: 1e4,
        burst: 1000,
        hosts: policy,
        exchange: Some(exchange),
        ..Settings::default()
    };
    let client = Client::new(connection, &settings).expect("the settings can be used");
    Writer::new(Reader::new(client, Urgency::Urgent), Permit::sole())
}

impl Answer for Vec<u8> {
    fn document(&self) -> Option<&[u8]> {
        Some(self)
    }
}

/// The operator's way to the account.
pub fn exchange(account: &Simulator, gate: &Arc<Gate>) -> Exchange {
    judged(account, gate, |_| ())
}

/// The same, and `judge` sees each request as it is sent.
pub fn judged(
    account: &Simulator,
    gate: &Arc<Gate>,
    judge: impl Fn(&Request<Vec<u8>>) + Send + Sync + 'static,
) -> Exchange {
    let (account, gate) = (account.clone(), gate.clone());
    Exchange::new(move |request: Request<Vec<u8>>| {
        judge(&request);
        let (account, gate) = (account.clone(), gate.clone());
        async move {
            let uri = request.uri().to_string();
            let path = uri.split_once(ADDRESS).map_or(&*uri, |(_, path)| path).to_owned();
            let (method, body) = (request.method().to_string(), request.body().clone());
            let call = Call { api: Api::Account, method, path, body };
            let effect = async move {
                // What was read before a write is older than it.
                tokio::time::sleep(LATENCY).await;
                answer(&account, request).await
            };
            gate.pass(call, effect).await.map_err(no_response)
        }
    })
}

async fn answer(account: &Simulator, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Gone> {
    let answered = account.answer(request.map(Into::into)).await;
    answered.map(|response| response.map(Into::into)).map_err(|_| Gone::Lost)
}

fn no_response(gone: Gone) -> NoResponse {
    match gone {
        Gone::Unreachable => NoResponse::Unreachable("connection refused".to_owned()),
        Gone::Lost => NoResponse::Lost("connection reset".to_owned()),
    }
}
