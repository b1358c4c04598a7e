//! Counters in the text format of OpenMetrics, which Prometheus reads.

use crate::error::Result;
use crate::ledger::Balance;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    method: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dataset {
    dataset: String,
}

type Amounts = Family<Dataset, Gauge<f64, AtomicU64>>;

/// The numbers of one server.
pub struct Metrics {
    registry: Registry,
    calls: Family<Call, Counter>,
    charges: Family<Dataset, Counter>,
    asking: Gauge,
    granted: Amounts,
    remaining: Amounts,
    /// Held by whoever fills the amounts in and reads them.
    scrape: Mutex<()>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let (calls, charges, asking) = (Family::default(), Family::default(), Gauge::default());
        let (granted, remaining) = (Amounts::default(), Amounts::default());
        let mut registry = Registry::with_prefix("undertone");
        registry.register("build", "The running program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register(
            "calls",
            "Calls that ended, by method and stable code; a charged question counts as OK even where it could not be answered",
            calls.clone(),
        );
        registry.register("charges", "Questions that were charged", charges.clone());
        registry.register("questions_in_flight", "Questions whose callers wait", asking.clone());
        registry.register("pool_epsilon_granted", "What all accounts of a dataset may spend together", granted.clone());
        registry.register(
            "pool_epsilon_remaining",
            "Epsilon of the largest question that the pool of a dataset still accepts",
            remaining.clone(),
        );
        Metrics { registry, calls, charges, asking, granted, remaining, scrape: Mutex::default() }
    }
}

impl Metrics {
    /// Counts a call that ended.
    pub fn called<T>(&self, method: &'static str, result: &Result<T>) {
        self.calls.get_or_create(&Call { method, code: super::outcome(result) }).inc();
    }

    /// Counts a charge.
    pub fn charged(&self, dataset: &str) {
        self.charges.get_or_create(&Dataset { dataset: dataset.to_owned() }).inc();
    }

    /// Counts a waiting caller until what is returned is dropped.
    pub fn asking(&self) -> impl Drop + use<> {
        self.asking.inc();
        Asking(self.asking.clone())
    }

    /// All numbers, with what the ledger says of pools.
    pub fn text(&self, balances: &[Balance]) -> String {
        let _alone = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.granted.clear();
        self.remaining.clear();
        for balance in balances.iter().filter(|balance| balance.account.is_pool()) {
            let label = Dataset { dataset: balance.account.dataset.clone() };
            self.granted.get_or_create(&label).set(balance.grant.epsilon.to_f64());
            self.remaining.get_or_create(&label).set(balance.spent.remaining(&balance.grant).to_f64());
        }
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

struct Asking(Gauge);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.dec();
    }
}
