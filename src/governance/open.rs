//! Releases whose bounds policy does not declare: what of their price finds them, and what is known already.

use super::pricing::Ask;
use crate::accounting::{Charge, rho_of_pure};
use crate::algebra::{Family, Probe, Release};
use crate::catalog::Rules;
use crate::mechanism::{
    Calibrated, Chosen, Found, GROUPS_PART, Price, TOTALS_PART, Uncalibrated, calibrate, check, open_totals,
    provisional, settle,
};
use crate::num::Amount;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Digest of a probe.
type Key = Vec<u8>;

/// What an account has found out and paid for before.
pub type Known = HashMap<Key, Found>;

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
    known: Vec<(Probe, Found)>,
}

/// A probe that is to be paid for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub probe: Probe,
    pub made: Calibrated,
    pub key: Key,
}

/// The bounds that `release` lacks.
pub fn lacking(release: &Release, ask: &Ask, rules: &Rules) -> Vec<Probe> {
    let has_groups = !release.keys.is_empty() && release.cells() != Some(1);
    let groups = rules.open_groups && ask.max_groups == 0 && release.terms.groups.is_none() && has_groups;
    groups.then_some(Probe::Groups).into_iter().chain(open_totals(release)).collect()
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
    let totals = lacking.iter().filter(|probe| **probe != Probe::Groups).count();
    if totals > MAX_TOTALS {
        return Err(Uncalibrated::TooManyBounds);
    }
    let (mut probes, mut found, mut left) = (vec![], vec![], price);
    for probe in &lacking {
        let asked = probe.release(&release);
        let key = Sha256::digest(format!("{scope} {asked:?}")).to_vec();
        if let Some(known) = known.get(&key) {
            found.push((*probe, known.clone()));
            continue;
        }
        let (part, whole) = if *probe == Probe::Groups { GROUPS_PART } else { TOTALS_PART };
        let of = |amount: Amount| amount.part(part, whole);
        let price = Price { epsilon: of(price.epsilon), rho: of(price.rho), delta: Amount::ZERO };
        left = Price { epsilon: left.epsilon.minus(price.epsilon), rho: left.rho.minus(price.rho), ..left };
        probes.push(Asked { probe: *probe, made: calibrate(asked, price, family)?, key });
    }
    check(release.clone(), left, family, &lacking)?;
    Ok(OpenRelease { release, family, whole: price, price: left, probes, known: found })
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

    /// The bounds that are known or found, in the order in which they are needed.
    pub fn lacking(&self) -> impl Iterator<Item = (Probe, Option<&Calibrated>)> {
        let asked = self.probes.iter().map(|asked| (asked.probe, Some(&asked.made)));
        asked.chain(self.known.iter().map(|(probe, _)| (*probe, None)))
    }

    /// The same once these probes have been answered.
    pub fn answered(&self, found: &[(Probe, Found)]) -> OpenRelease {
        OpenRelease { probes: vec![], known: [self.known.as_slice(), found].concat(), ..self.clone() }
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
