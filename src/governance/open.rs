//! Releases whose bounds policy does not declare: what of their price finds them, and what is known already.

use super::pricing::Ask;
use crate::accounting::{Charge, rho_of_pure};
use crate::algebra::{Family, Probe, Release};
use crate::catalog::Rules;
use crate::mechanism::{
    Calibrated, Chosen, Found, Price, Uncalibrated, calibrate, check, open_totals, part, provisional, settle,
};
use crate::num::Amount;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Digest of a probe.
type Key = Vec<u8>;

/// What is known of bounds before a question is asked.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What its account has found out and paid for.
    pub own: HashMap<Key, Found>,
    /// What governance has found out for all accounts, with what it cost. The pool has paid for it; each account pays for it once.
    pub shared: HashMap<Key, (Found, Charge)>,
}

/// The most of a release's price that bounds which governance has found out may take, together; an account finds the others itself.
const SHARED_PART: (u128, u128) = (25, 100);

/// Most sums and means of one release whose limits are to be found.
const MAX_TOTALS: usize = 4;

/// A release whose bounds are found while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenRelease {
    /// Without the bounds.
    release: Release,
    family: Family,
    whole: Price,
    /// What is left for the release itself.
    price: Price,
    pub probes: Vec<Asked>,
    /// What governance has found out, and its account pays for now.
    pub bought: Vec<Bought>,
    known: Vec<(Probe, Found)>,
}

/// A probe that is to be paid for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub probe: Probe,
    pub made: Calibrated,
    pub key: Key,
}

/// What a probe found before, which is to be paid for.
#[derive(Clone, Debug, PartialEq)]
pub struct Bought {
    pub probe: Probe,
    pub found: Found,
    pub charge: Charge,
    pub key: Key,
}

/// The bounds that `release` lacks.
pub fn lacking(release: &Release, ask: &Ask, rules: &Rules) -> Vec<Probe> {
    let has_groups = !release.keys.is_empty() && release.cells() != Some(1);
    let groups = rules.open_groups && ask.max_groups == 0 && release.terms.groups.is_none() && has_groups;
    let rows = rules.open_rows && ask.max_rows == 0 && release.terms.total.is_none() && release.is_of_rows();
    let numbers = [groups.then_some(Probe::Groups), rows.then_some(Probe::Rows)];
    numbers.into_iter().flatten().chain(open_totals(release)).collect()
}

/// Splits the price of a release over the probes that are not known yet and the release itself.
///
/// Of Laplace noise the whole is charged like any mechanism of its epsilon, since what each part costs in rho follows from what is found.
pub fn prepare(
    release: Release,
    (price, family): (Price, Family),
    lacking: Vec<Probe>,
    (scope, known): (&str, &Known),
) -> Result<OpenRelease, Uncalibrated> {
    let totals = lacking.iter().filter(|probe| matches!(probe, Probe::Totals(_))).count();
    if totals > MAX_TOTALS {
        return Err(Uncalibrated::TooManyBounds);
    }
    let (mut probes, mut bought, mut found, mut left) = (vec![], vec![], vec![], price);
    let mut paid = Charge::NOTHING;
    for probe in &lacking {
        let asked = probe.release(&release);
        let key = key(scope, &asked);
        if let Some(known) = known.own.get(&key) {
            found.push((*probe, known.clone()));
            continue;
        }
        if let Some((known, charge)) = known.shared.get(&key).filter(|(_, charge)| is_part(&paid.plus(*charge), &price))
        {
            found.push((*probe, known.clone()));
            left = without(left, charge);
            paid = paid.plus(*charge);
            bought.push(Bought { probe: *probe, found: known.clone(), charge: *charge, key });
            continue;
        }
        let (part, whole) = part(*probe, family);
        let of = |amount: Amount| amount.part(part, whole);
        let price = Price { epsilon: of(price.epsilon), rho: of(price.rho), delta: Amount::ZERO };
        left = without(left, &Charge { epsilon: Some(price.epsilon), rho: price.rho, delta: Amount::ZERO });
        probes.push(Asked { probe: *probe, made: calibrate(asked, price, family)?, key });
    }
    check(release.clone(), left, family, &lacking)?;
    Ok(OpenRelease { release, family, whole: price, price: left, probes, bought, known: found })
}

/// What a probe asks, of tables and under a policy whose names are `scope`.
pub fn key(scope: &str, asked: &Release) -> Key {
    Sha256::digest(format!("{scope} {asked:?}")).to_vec()
}

/// Whether charges are so small a part of a price, in both of its currencies.
fn is_part(charge: &Charge, price: &Price) -> bool {
    let (part, whole) = SHARED_PART;
    let is_within = |charge: Amount, price: Amount| charge <= price.part(part, whole);
    charge.epsilon.is_some_and(|epsilon| is_within(epsilon, price.epsilon)) && is_within(charge.rho, price.rho)
}

fn without(price: Price, charge: &Charge) -> Price {
    let epsilon = charge.epsilon.unwrap_or(Amount::ZERO);
    Price { epsilon: price.epsilon.minus(epsilon), rho: price.rho.minus(charge.rho), ..price }
}

impl OpenRelease {
    /// What stands for the release until its bounds are known: the same columns.
    pub fn provisional(&self) -> Result<Calibrated, Uncalibrated> {
        let lacking = self.lacking().map(|(probe, _)| probe);
        let made = calibrate(provisional(self.release.clone(), lacking), self.price, self.family)?;
        Ok(self.charged(made))
    }

    /// At the price of the whole, which is the same whether bounds are known or not.
    fn charged(&self, made: Calibrated) -> Calibrated {
        Calibrated { charge: charge(self.whole, self.family, made.cells.is_none()), ..made }
    }

    /// What is asked, whatever is known already.
    pub fn intent(&self) -> String {
        format!("{:?} {:?} {:?}", self.release, self.whole, self.family)
    }

    /// What the pool pays: what governance has found out it has paid for.
    pub fn pool_charge(&self) -> Charge {
        let whole = self.bought.iter().fold(self.whole, |price, bought| without(price, &bought.charge));
        charge(whole, self.family, self.release.selects_keys())
    }

    /// The bounds that are known or found, with what they cost now.
    pub fn lacking(&self) -> impl Iterator<Item = (Probe, Option<Charge>)> {
        let asked = self.probes.iter().map(|asked| (asked.probe, Some(asked.made.charge)));
        let cost = |probe: &Probe| self.bought.iter().find(|bought| bought.probe == *probe).map(|bought| bought.charge);
        asked.chain(self.known.iter().map(move |(probe, _)| (*probe, cost(probe))))
    }

    /// The same once these probes have been answered.
    pub fn answered(&self, found: &[(Probe, Found)]) -> OpenRelease {
        OpenRelease { probes: vec![], bought: vec![], known: [self.known.as_slice(), found].concat(), ..self.clone() }
    }

    /// The release with its bounds, once all probes have been answered.
    pub fn settle(&self, found: &[(Probe, Found)]) -> Result<(Calibrated, Vec<Chosen>), Uncalibrated> {
        let (made, chosen) =
            settle(self.release.clone(), self.price, self.family, &[self.known.as_slice(), found].concat())?;
        let charge = charge(self.whole, self.family, made.cells.is_none());
        // What it asks for is in how it is calibrated.
        Ok((
            Calibrated { release: Release { terms: made.release.terms.remaining(), ..made.release }, charge, ..made },
            chosen,
        ))
    }
}

/// What a release with open bounds costs in all.
fn charge(price: Price, family: Family, private: bool) -> Charge {
    let charge = match family {
        Family::Laplace => {
            Charge { epsilon: Some(price.epsilon), rho: rho_of_pure(price.epsilon), delta: Amount::ZERO }
        }
        Family::Gaussian => Charge::zcdp(price.rho),
    };
    match private {
        true => Charge { epsilon: None, delta: price.delta, ..charge },
        false => charge,
    }
}
