//! Governance as its people meet it: who may do what, how budgets change hands, and which questions a policy lets through, out of whose budget.

use crate::world::{ANA, AUDREY, BEN, Caller, GIL, GINA, GUS, OTTO, Recipe, World, batch, code, request, rows};
use chrono::DateTime;
use serde_json::{Value, json};
use sqlx::Connection;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use undertone::api::digest;
use undertone::proto::audit_service_client::AuditServiceClient;
use undertone::proto::budget_service_client::BudgetServiceClient;
use undertone::proto::catalog_service_client::CatalogServiceClient;
use undertone::proto::edit::Kind;
use undertone::proto::governance_service_client::GovernanceServiceClient;
use undertone::proto::{self, AccountState, Edit, Holder, Proposal};
use undertone::server::Running;

const COUNT: &str = "SELECT count(*) AS n FROM visits";
/// Reads the only column of tier health.
const FLU: &str = "SELECT count(*) AS n FROM visits WHERE diagnosis = 'flu'";
const DAY: i64 = 86_400;

#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

type Wire = InterceptedService<Channel, Bearer>;

/// A principal with all that the server offers: `asks` are questions, the rest is here.
struct Person {
    asks: Caller,
    wire: Wire,
}

impl Person {
    async fn to(running: &Running, token: &str) -> Person {
        let channel = Channel::from_shared(format!("http://{}", running.address)).unwrap().connect().await.unwrap();
        let bearer = Bearer(format!("Bearer {token}").parse().unwrap());
        Person { asks: Caller::to(running, token).await, wire: InterceptedService::new(channel, bearer) }
    }

    fn governance(&self) -> GovernanceServiceClient<Wire> {
        GovernanceServiceClient::new(self.wire.clone())
    }

    fn audit(&self) -> AuditServiceClient<Wire> {
        AuditServiceClient::new(self.wire.clone())
    }

    fn budget(&self) -> BudgetServiceClient<Wire> {
        BudgetServiceClient::new(self.wire.clone())
    }

    /// A new draw, whatever was answered before.
    async fn ask(&self, sql: &str, epsilon: &str) -> Result<proto::Answer, Status> {
        self.ask_for("", sql, epsilon).await
    }

    async fn ask_for(&self, purpose: &str, sql: &str, epsilon: &str) -> Result<proto::Answer, Status> {
        let mut asked = proto::ExecuteRequest { fresh: true, ..request(sql, epsilon) };
        asked.question.as_mut().unwrap().purpose = purpose.into();
        self.asks.execute(asked).await
    }

    async fn datasets(&self) -> Vec<proto::Dataset> {
        let mut client = CatalogServiceClient::new(self.wire.clone());
        client.list_datasets(proto::ListDatasetsRequest {}).await.unwrap().into_inner().datasets
    }

    async fn balances(&self) -> Vec<proto::Balance> {
        let found = self.budget().get_balances(proto::GetBalancesRequest { dataset: String::new() }).await;
        found.unwrap().into_inner().balances
    }

    /// Of the only account.
    async fn balance(&self) -> proto::Balance {
        let mut balances = self.balances().await;
        assert_eq!(balances.len(), 1);
        balances.remove(0)
    }

    async fn account(&self) -> AccountState {
        self.balance().await.account.unwrap()
    }

    async fn granted(&self) -> String {
        self.account().await.granted_epsilon
    }

    /// Epsilon of the account, of those that pay beside it, and of the pool.
    async fn spent(&self) -> Vec<String> {
        let proto::Balance { account, shared, pool, .. } = self.balance().await;
        let all = [account].into_iter().chain(shared.into_iter().map(|shared| shared.state)).chain([pool]);
        all.map(|state| state.unwrap().spent_epsilon).collect()
    }

    async fn request(&self, epsilon: &str) -> Result<Proposal, Status> {
        let wanted = proto::RequestBudgetRequest {
            dataset: "clinic".into(),
            purpose: "research".into(),
            epsilon: epsilon.into(),
            delta: String::new(),
            justification: "the quarterly report".into(),
        };
        Ok(self.budget().request_budget(wanted).await?.into_inner().proposal.unwrap())
    }

    async fn requests(&self) -> Vec<Proposal> {
        self.budget().list_requests(proto::ListRequestsRequest {}).await.unwrap().into_inner().proposals
    }

    async fn propose(&self, edit: Edit) -> Result<Proposal, Status> {
        let wanted = proto::ProposeRequest { edit: Some(edit), reason: "a new year".into() };
        Ok(self.governance().propose(wanted).await?.into_inner().proposal.unwrap())
    }

    async fn decide(&self, proposal: i64, approve: bool) -> Result<Proposal, Status> {
        let wanted =
            proto::DecideRequest { proposal, approve, reason: "it was looked at".into(), based_on: String::new() };
        Ok(self.governance().decide(wanted).await?.into_inner().proposal.unwrap())
    }

    async fn approve(&self, proposal: i64) -> Result<Proposal, Status> {
        self.decide(proposal, true).await
    }

    async fn reject(&self, proposal: i64) -> Result<Proposal, Status> {
        self.decide(proposal, false).await
    }

    /// Proposals, the newest first.
    async fn proposals(&self, open: bool) -> Vec<Proposal> {
        let found = self.governance().list_proposals(proto::ListProposalsRequest { open }).await;
        found.unwrap().into_inner().proposals
    }

    async fn simulate(&self, edit: Edit) -> Result<proto::Effect, Status> {
        let found = self.governance().simulate(proto::SimulateRequest { edit: Some(edit) }).await?;
        Ok(found.into_inner().effect.unwrap())
    }

    /// The policy in force, and its text.
    async fn policy(&self) -> (proto::PolicyVersion, String) {
        let found = self.governance().get_policy(proto::GetPolicyRequest { version: 0 }).await;
        let proto::GetPolicyResponse { version, text } = found.unwrap().into_inner();
        (version.unwrap(), text)
    }

    async fn version(&self) -> i64 {
        self.policy().await.0.version
    }

    async fn freeze(&self, holder: &str, reason: &str, lift: bool) -> Result<(), Status> {
        let (dataset, holder, reason) = ("clinic".into(), holder.into(), reason.into());
        self.governance().freeze(proto::FreezeRequest { dataset, holder, reason, lift }).await.map(drop)
    }

    /// A pool, team or tier, as governance sees it.
    async fn shared(&self, name: &str) -> AccountState {
        let found = self.governance().list_accounts(proto::ListAccountsRequest { dataset: "clinic".into() }).await;
        let mut shared = found.unwrap().into_inner().shared.into_iter();
        shared
            .find(|account| account.name == name || account.name == format!("{name} of clinic"))
            .unwrap()
            .state
            .unwrap()
    }

    async fn log(&self, from: i64) -> Vec<proto::AuditEntry> {
        let mut entries = self.audit().read_log(proto::ReadLogRequest { from }).await.unwrap().into_inner();
        let mut all = Vec::new();
        while let Some(entry) = entries.message().await.unwrap() {
            all.push(entry);
        }
        all
    }
}

/// Proposed by one and approved by another.
async fn carried_out(author: &Person, approver: &Person, edit: Edit) -> Proposal {
    let id = author.propose(edit).await.unwrap().id;
    let proposal = approver.approve(id).await.unwrap();
    assert_eq!(proposal.state, "approved");
    proposal
}

fn edit(kind: Kind) -> Edit {
    Edit { kind: Some(kind) }
}

fn budget_for(principal: &str, purpose: &str, epsilon: &str) -> Edit {
    edit(Kind::Budget(proto::Budget {
        principal: principal.into(),
        dataset: "clinic".into(),
        purpose: purpose.into(),
        epsilon: epsilon.into(),
        delta: String::new(),
    }))
}

fn budget(principal: &str, epsilon: &str) -> Edit {
    budget_for(principal, "research", epsilon)
}

/// A team's name begins with `team:`.
fn holder(name: &str) -> Holder {
    match name.strip_prefix("team:") {
        Some(team) => Holder { team: team.into(), ..Holder::default() },
        None => Holder { principal: name.into(), purpose: "research".into(), team: String::new() },
    }
}

fn moved(from: &str, to: &str, epsilon: &str) -> Edit {
    let (dataset, from, to) = ("clinic".into(), Some(holder(from)), Some(holder(to)));
    edit(Kind::Move(proto::Move { dataset, from, to, epsilon: epsilon.into(), delta: String::new() }))
}

fn revoked(principal: &str) -> Edit {
    let (dataset, purpose) = ("clinic".into(), "research".into());
    edit(Kind::Revoke(proto::Revoke { principal: principal.into(), dataset, purpose }))
}

fn document(text: &str, based_on: &str) -> Edit {
    edit(Kind::Policy(proto::NewPolicy { text: text.into(), based_on: based_on.into() }))
}

/// Grants of pure epsilon alone, so that every sum is exact.
fn pure(grants: [&'static str; 2]) -> Recipe {
    Recipe { patients: 20, grants, grant_delta: "0", ..Recipe::default() }
}

/// A world whose policy has more in Ana's grant, in Ben's, and after them.
fn governed(recipe: &Recipe, ana: &str, ben: &str, rest: &str) -> World {
    let world = World::new(recipe);
    rewrite(&world, "principal = \"ana\"\n", &format!("principal = \"ana\"\n{ana}\n"));
    let text = policy_file(&world);
    // Ben's grant is the last one.
    std::fs::write(world.path("policy.toml"), format!("{text}{ben}\n{rest}")).unwrap();
    world
}

fn policy_file(world: &World) -> String {
    std::fs::read_to_string(world.path("policy.toml")).unwrap()
}

fn rewrite(world: &World, from: &str, to: &str) {
    let text = policy_file(world);
    assert!(text.contains(from), "{from}");
    std::fs::write(world.path("policy.toml"), text.replacen(from, to, 1)).unwrap();
}

/// Puts another text in force as the operator, beside the server that runs.
fn apply(world: &World, text: &str) {
    std::fs::write(world.path("next.toml"), text).unwrap();
    let (done, in_force) = world.run(&["policy", "show", "--config", "undertone.toml"]);
    assert!(done, "{in_force}");
    let based_on = digest(&in_force);
    let apply = ["policy", "apply", "--config", "undertone.toml", "--reason", "by hand", "--based-on"];
    let (done, said) = world.run(&[&apply[..], &[based_on.as_str(), "next.toml"]].concat());
    assert!(done, "{said}");
}

/// Every balance is what the log says.
fn verify(world: &World) {
    let (proven, said) = world.run(&["audit", "verify", "--config", "undertone.toml"]);
    assert!(proven && said.contains("every balance, charge and policy of the ledger is what the log says"), "{said}");
}

fn named(query_id: &str, sql: &str, epsilon: &str) -> proto::ExecuteRequest {
    proto::ExecuteRequest { query_id: query_id.into(), ..request(sql, epsilon) }
}

/// What a call says that has to be refused with this code.
#[track_caller]
fn refused<T>(wanted: &str, result: Result<T, Status>) -> String {
    let Err(status) = result else { panic!("nothing was refused, in the place of {wanted}") };
    assert_eq!(code(&status), wanted, "{}", status.message());
    status.message().to_owned()
}

/// The accounts that pay beside the own one and the pool, with what each has spent.
fn beside(balance: &proto::Balance) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for proto::SharedAccount { name, state, .. } in &balance.shared {
        found.push((name.as_str(), state.as_ref().unwrap().spent_epsilon.as_str()));
    }
    found
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// The day of a moment, in UTC.
fn date(at: i64) -> String {
    DateTime::from_timestamp(at, 0).unwrap().date_naive().to_string()
}

/// As if Ben's window had begun on the day before.
async fn a_day_later(world: &World) {
    let url = format!("sqlite://{}", world.path("ledger.sqlite").display());
    let mut db = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("UPDATE accounts SET since = since - 86400 WHERE principal = 'ben'").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}

/// Every call of governance and of auditors, by everybody: whoever may not is told so, and changes nothing. None of the staff asks.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_for_its_roles_alone() {
    let world = governed(&pure(["1e12", "0.5"]), "", "", "");
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    let (gina, gus, gil) =
        (Person::to(&running, GINA).await, Person::to(&running, GUS).await, Person::to(&running, GIL).await);
    ben.asks.execute(named("paid", COUNT, "0.25")).await.unwrap();
    for (token, reads, governs, audits) in [
        (ANA, false, false, false),
        (OTTO, false, false, false),
        (GINA, true, true, false),
        (AUDREY, true, false, true),
    ] {
        let person = Person::to(&running, token).await;
        let id = ben.request("1").await.unwrap().id;
        let (mut governance, mut audit) = (person.governance(), person.audit());
        let calls = [
            ("get_policy", reads, governance.get_policy(proto::GetPolicyRequest { version: 0 }).await.map(drop)),
            ("list_policies", reads, governance.list_policies(proto::ListPoliciesRequest {}).await.map(drop)),
            ("simulate", reads, person.simulate(budget("ben", "1")).await.map(drop)),
            (
                "list_proposals",
                reads,
                governance.list_proposals(proto::ListProposalsRequest { open: true }).await.map(drop),
            ),
            (
                "list_accounts",
                reads,
                governance.list_accounts(proto::ListAccountsRequest { dataset: String::new() }).await.map(drop),
            ),
            ("propose", governs, person.propose(moved("ana", "ben", "1")).await.map(drop)),
            ("decide", governs, person.approve(id).await.map(drop)),
            ("freeze", governs, person.freeze("ana", "a look at it", false).await),
            ("lift", governs, person.freeze("ana", "it was nothing", true).await),
            ("get_head", audits, audit.get_head(proto::GetHeadRequest {}).await.map(drop)),
            ("read_log", audits, audit.read_log(proto::ReadLogRequest { from: 0 }).await.map(drop)),
        ];
        for (call, may, outcome) in calls {
            let got = outcome.as_ref().err().map(|status| (status.code(), code(status)));
            let wanted = (!may).then_some((Code::PermissionDenied, "NOT_PERMITTED"));
            assert_eq!(got, wanted, "{call} by {token}: {outcome:?}");
        }
    }
    // Only what Gina proposed and approved is there, and nobody is frozen.
    assert_eq!(gina.version().await, 2);
    let proposals = gina.proposals(false).await;
    let known: Vec<_> = proposals.iter().map(|p| (p.author.as_str(), p.state.as_str())).collect();
    assert_eq!(
        known,
        [("ben", "open"), ("gina", "open"), ("ben", "approved"), ("ben", "open"), ("ben", "open")],
        "{proposals:?}"
    );
    ana.ask(COUNT, "1").await.unwrap();

    for token in [GINA, AUDREY, OTTO] {
        let person = Person::to(&running, token).await;
        let e = person.ask(COUNT, "0.1").await.unwrap_err();
        assert_eq!((e.code(), code(&e)), (Code::NotFound, "UNKNOWN_DATASET"), "{e}");
        refused("UNKNOWN_DATASET", person.asks.quote(COUNT, "0.1").await);
        refused("UNKNOWN_DATASET", person.ask("SELECT hospital FROM hospitals", "0.1").await);
        refused("UNKNOWN_QUERY_ID", person.asks.get_answer("paid").await);
        let wanted = proto::Refinement { of: "paid".into(), epsilon: "0.1".into(), ..Default::default() };
        refused("UNKNOWN_QUERY_ID", person.asks.refine(wanted).await);
        assert!(refused("NOT_PERMITTED", person.request("1").await).contains("analyst"));
        assert!(person.datasets().await.is_empty() && person.balances().await.is_empty());
    }
    assert_eq!(ben.datasets().await.iter().map(|dataset| dataset.name.as_str()).collect::<Vec<_>>(), ["clinic"]);

    // Who loses a role loses it at once.
    gil.governance().list_policies(proto::ListPoliciesRequest {}).await.unwrap();
    let (version, text) = gina.policy().await;
    let without = text.replacen("\"gus\", \"gil\"]", "\"gus\"]", 1);
    carried_out(&gina, &gus, document(&without, &version.hash)).await;
    refused("NOT_PERMITTED", gil.governance().list_policies(proto::ListPoliciesRequest {}).await);
    refused("NOT_PERMITTED", gil.approve(1).await);
    running.stop().await.unwrap();
}

/// A request waits for governance, and says what it would do; a proposal of governance's own waits for somebody else; both are in force at once.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_a_budget_to_themselves() {
    let world = governed(&pure(["1e12", "0.5"]), "", "", "");
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    let (gina, gus) = (Person::to(&running, GINA).await, Person::to(&running, GUS).await);
    ben.ask(COUNT, "0.5").await.unwrap();
    refused("BUDGET_EXHAUSTED", ben.ask(COUNT, "0.1").await);

    let asked = ben.request("2").await.unwrap();
    assert_eq!(
        (asked.id, asked.author.as_str(), asked.reason.as_str(), asked.state.as_str(), asked.approvals),
        (1, "ben", "the quarterly report", "open", 1)
    );
    assert_eq!((asked.edit.as_ref(), &asked.effect), (Some(&budget("ben", "2")), &None));
    // What it would do to accounts is not the analyst's to see.
    assert_eq!(ben.requests().await, std::slice::from_ref(&asked));
    assert!(ana.requests().await.is_empty());
    let shown = gina.proposals(true).await.remove(0);
    let effect = shown.effect.unwrap();
    assert_eq!((effect.approvals, effect.rules.len(), effect.accounts.len()), (1, 0, 1));
    let change = &effect.accounts[0];
    assert_eq!(change.account, "the account of 'ben' for purpose 'research' on dataset 'clinic'");
    assert_eq!((change.remaining_before.as_str(), change.remaining_after.as_str()), ("0", "2"));
    let terms = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(terms(&change.before), json!({ "epsilon": "0.5", "delta": "0" }));
    assert_eq!(terms(&change.after), json!({ "epsilon": "2.5", "delta": "0" }));
    assert!(!change.overdrawn);

    refused("NOT_PERMITTED", ben.approve(1).await);
    assert_eq!(gina.version().await, 1);
    let decided = gina.approve(1).await.unwrap();
    assert_eq!((decided.state.as_str(), &decided.effect), ("approved", &None));
    let opinion = &decided.opinions[0];
    assert_eq!((opinion.who.as_str(), opinion.approves, opinion.reason.as_str()), ("gina", true, "it was looked at"));
    let (version, text) = gina.policy().await;
    assert_eq!((version.version, version.author.as_str(), version.reason.as_str()), (2, "ben", "the quarterly report"));
    assert_eq!((version.approved_by, version.hash), (vec!["gina".to_owned()], digest(&text)));
    assert!(text.contains("epsilon = \"2.5\""), "{text}");
    ben.ask(COUNT, "2").await.unwrap();
    refused("BUDGET_EXHAUSTED", ben.ask(COUNT, "0.1").await);
    for again in [gus.approve(1).await, gus.reject(1).await, gina.approve(1).await, gus.approve(99).await] {
        refused("INVALID_REQUEST", again);
    }
    assert_eq!((gina.version().await, ben.granted().await), (2, "2.5".to_owned()));

    let proposed = gina.propose(moved("ana", "ben", "1")).await.unwrap();
    assert_eq!((proposed.id, proposed.author.as_str(), proposed.effect.is_some()), (2, "gina", true));
    refused("NOT_PERMITTED", gina.approve(2).await);
    assert_eq!((gina.version().await, ben.granted().await), (2, "2.5".to_owned()));
    assert_eq!(gus.approve(2).await.unwrap().state, "approved");
    assert_eq!((ana.granted().await, ben.granted().await), ("999999999999".to_owned(), "3.5".to_owned()));

    // A rejection changes nothing but the proposal, and its author sees why.
    ben.request("5").await.unwrap();
    assert_eq!(gus.reject(3).await.unwrap().state, "rejected");
    refused("INVALID_REQUEST", gina.approve(3).await);
    let seen = ben.requests().await;
    assert_eq!((seen[0].id, seen[0].state.as_str(), seen[0].opinions[0].approves), (3, "rejected", false));
    assert_eq!((gina.version().await, ben.granted().await), (3, "3.5".to_owned()));

    // Whoever sets budgets has none; and what changes nothing is no proposal.
    refused("INVALID_REQUEST", gina.propose(budget("gina", "1")).await);
    refused("INVALID_REQUEST", gina.propose(moved("ana", "ana", "1")).await);
    let open = ben.request("1").await.unwrap().id;
    let long = "x".repeat(2001);
    for reason in ["", " \n", long.as_str()] {
        let wanted = proto::ProposeRequest { edit: Some(moved("ana", "ben", "1")), reason: reason.into() };
        refused("INVALID_REQUEST", gina.governance().propose(wanted).await);
        for approve in [true, false] {
            let wanted =
                proto::DecideRequest { proposal: open, approve, reason: reason.into(), based_on: String::new() };
            refused("INVALID_REQUEST", gina.governance().decide(wanted).await);
        }
        refused("INVALID_REQUEST", gina.freeze("ben", reason, false).await);
        let wanted = proto::RequestBudgetRequest {
            dataset: "clinic".into(),
            purpose: "research".into(),
            epsilon: "1".into(),
            delta: String::new(),
            justification: reason.into(),
        };
        refused("INVALID_REQUEST", ben.budget().request_budget(wanted).await);
    }
    let proposals = gina.proposals(false).await;
    assert_eq!(proposals.iter().map(|proposal| proposal.id).collect::<Vec<_>>(), [4, 3, 2, 1]);
    assert_eq!((proposals[0].state.as_str(), gina.version().await), ("open", 3));
    verify(&world);
    running.stop().await.unwrap();
}

/// Where a tier asks for two, nobody is two; and a policy that asks for them asks it of what was proposed before, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_approver_is_another_person() {
    let world = governed(&pure(["5", "0.5"]), "", "", "");
    let running = world.serve().await;
    let ben = Person::to(&running, BEN).await;
    let (gina, gus, gil) =
        (Person::to(&running, GINA).await, Person::to(&running, GUS).await, Person::to(&running, GIL).await);
    assert_eq!(ben.request("1").await.unwrap().approvals, 1);
    let rule = "[[tier]]\nname = \"health\"\ndataset = \"clinic\"\nsecond_approver = true\n";
    apply(&world, &format!("{}\n{rule}", policy_file(&world)));
    assert_eq!(gina.proposals(true).await[0].effect.as_ref().unwrap().approvals, 2);
    let first = gina.approve(1).await.unwrap();
    assert_eq!((first.state.as_str(), first.opinions.len()), ("open", 1));
    refused("INVALID_REQUEST", gina.approve(1).await);
    assert_eq!((gina.version().await, ben.granted().await), (2, "0.5".to_owned()));
    assert_eq!(gus.approve(1).await.unwrap().state, "approved");
    let (version, _) = gina.policy().await;
    assert_eq!((version.version, version.approved_by), (3, vec!["gina".to_owned(), "gus".to_owned()]));
    assert_eq!(ben.granted().await, "1.5");

    // One rejection is enough.
    // How many it needs is governance's to see.
    assert_eq!(ben.request("1").await.unwrap().approvals, 1);
    assert_eq!(gus.approve(2).await.unwrap().state, "open");
    assert_eq!(gina.reject(2).await.unwrap().state, "rejected");
    refused("INVALID_REQUEST", gil.approve(2).await);

    // Two others than its author.
    assert_eq!(gina.propose(moved("ana", "ben", "1")).await.unwrap().approvals, 2);
    assert_eq!(gus.approve(3).await.unwrap().state, "open");
    refused("NOT_PERMITTED", gina.approve(3).await);
    refused("INVALID_REQUEST", gus.approve(3).await);
    assert_eq!((gina.version().await, ben.granted().await), (3, "1.5".to_owned()));
    assert_eq!(gil.approve(3).await.unwrap().state, "approved");
    let (version, text) = gina.policy().await;
    assert_eq!(version.approved_by.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&"gil".into(), &"gus".into()]));
    assert_eq!(ben.granted().await, "2.5");

    // The rule itself, and who decides, are not changed by fewer.
    for (from, to, changed) in [
        ("second_approver = true\n", "", "tier 'health' of dataset 'clinic': changed"),
        (rule, "", "tier 'health' of dataset 'clinic': removed"),
        ("\"gus\", \"gil\"]", "\"gus\", \"greta\"]", "'gil' loses role governance"),
    ] {
        assert!(text.contains(from), "{from}");
        let effect = gina.simulate(document(&text.replacen(from, to, 1), &version.hash)).await.unwrap();
        assert_eq!((effect.approvals, effect.accounts.len()), (2, 0));
        assert!(effect.rules.contains(&changed.to_owned()), "{:?}", effect.rules);
    }
    verify(&world);
    running.stop().await.unwrap();
}

/// What was spent is not moved, and does not go away with a grant.
#[tokio::test(flavor = "multi_thread")]
async fn budgets_move_and_spending_stays() {
    let world = governed(&pure(["3", "1"]), "", "", "");
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    let (gina, gus) = (Person::to(&running, GINA).await, Person::to(&running, GUS).await);
    let grants = async || [ana.granted().await, ben.granted().await];
    let kept = ben.asks.execute(named("kept", COUNT, "0.75")).await.unwrap();
    let said = refused("INVALID_REQUEST", gina.propose(moved("ben", "ana", "0.5")).await);
    assert!(said.contains("the account of 'ben'") && said.contains("move less"), "{said}");
    carried_out(&gina, &gus, moved("ben", "ana", "0.25")).await;
    assert_eq!(grants().await, ["3.25", "0.75"]);
    refused("BUDGET_EXHAUSTED", ben.ask(COUNT, "0.01").await);
    for (wrong, why) in [
        (moved("ana", "ben", "4"), "this grant has epsilon 3.25, and not 4"),
        (moved("ana", "ben", "-1"), "negative"),
        (moved("zoe", "ben", "1"), "'zoe' has no grant"),
        (moved("ana", "team:crew", "1"), "team 'crew' has no account"),
        (revoked("zoe"), "'zoe' has no grant"),
    ] {
        let said = refused("INVALID_REQUEST", gina.propose(wrong).await);
        assert!(said.contains(why), "{said}");
    }
    let both = Holder { team: "crew".into(), ..holder("ana") };
    let to = Some(holder("ben"));
    let wrong =
        proto::Move { dataset: "clinic".into(), from: Some(both), to, epsilon: "1".into(), ..proto::Move::default() };
    refused("INVALID_REQUEST", gina.propose(edit(Kind::Move(wrong))).await);

    // What was unspent when it was proposed may be spent when it is decided.
    let id = gina.propose(moved("ana", "ben", "1")).await.unwrap().id;
    ana.ask(COUNT, "2.5").await.unwrap();
    refused("INVALID_REQUEST", gus.approve(id).await);
    let waiting = gina.proposals(true).await.remove(0);
    assert_eq!((waiting.id, waiting.effect), (id, None));
    assert!(waiting.obstacle.contains("move less"), "{}", waiting.obstacle);
    assert_eq!((grants().await, gina.version().await), (["3.25".to_owned(), "0.75".to_owned()], 2));

    carried_out(&gina, &gus, revoked("ben")).await;
    refused("UNKNOWN_DATASET", ben.ask(COUNT, "0.01").await);
    refused("UNKNOWN_DATASET", ben.asks.quote(COUNT, "0.01").await);
    assert!(ben.balances().await.is_empty() && ben.datasets().await.is_empty());
    let again = ben.asks.execute(named("kept", COUNT, "0.75")).await.unwrap();
    for answer in [again, ben.asks.get_answer("kept").await.unwrap()] {
        assert!(answer.replayed && answer.table == kept.table && answer.receipt == kept.receipt);
    }
    verify(&world);

    carried_out(&gina, &gus, budget("ben", "1")).await;
    let account = ben.account().await;
    assert_eq!(
        (account.granted_epsilon.as_str(), account.spent_epsilon.as_str(), account.charges, account.lifetime_charges),
        ("1", "0.75", 1, 1)
    );
    assert!(ben.asks.ask(COUNT, "0.75").await.unwrap().replayed);
    ben.ask(COUNT, "0.25").await.unwrap();
    refused("BUDGET_EXHAUSTED", ben.ask(COUNT, "0.01").await);
    assert_eq!(ben.spent().await, ["1", "3.5"]);
    verify(&world);
    running.stop().await.unwrap();
}

/// A text that was made from another policy than that in force is refused when it is proposed and when it is decided; what is an edit goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_made_from_the_one_in_force() {
    let world = governed(&pure(["5", "0.5"]), "", "", "");
    let running = world.serve().await;
    let ben = Person::to(&running, BEN).await;
    let (gina, gus, gil) =
        (Person::to(&running, GINA).await, Person::to(&running, GUS).await, Person::to(&running, GIL).await);
    let (first, text) = gina.policy().await;
    assert_eq!((first.version, first.hash.clone(), &text), (1, digest(&text), &policy_file(&world)));
    let with = |text: &str, epsilon: &str| text.replacen("epsilon = \"0.5\"", &format!("epsilon = \"{epsilon}\""), 1);
    let wrong = document(&with(&text, "0.6"), &digest("another"));
    let e = gina.propose(wrong.clone()).await.unwrap_err();
    assert_eq!((e.code(), code(&e)), (Code::Aborted, "POLICY_CHANGED"), "{e}");
    refused("POLICY_CHANGED", gina.simulate(wrong).await);
    refused("INVALID_REQUEST", gina.propose(document("[[grant]]\n", &first.hash)).await);
    refused("INVALID_REQUEST", gina.propose(document(&text.replace("clinic", "shop"), &first.hash)).await);
    assert!(gina.proposals(false).await.is_empty());

    gina.propose(document(&with(&text, "0.6"), &first.hash)).await.unwrap();
    gina.propose(document(&with(&text, "0.7"), &first.hash)).await.unwrap();
    ben.request("1").await.unwrap();
    assert_eq!(gus.approve(1).await.unwrap().state, "approved");
    refused("POLICY_CHANGED", gus.approve(2).await);
    let stale = gina.proposals(true).await.remove(1);
    assert_eq!((stale.id, stale.state.as_str(), &stale.effect, stale.opinions.len()), (2, "open", &None, 0));
    assert!(stale.obstacle.contains("the policy has changed"), "{}", stale.obstacle);
    assert_eq!((gina.version().await, ben.granted().await), (2, "0.6".to_owned()));
    assert_eq!(gus.approve(3).await.unwrap().state, "approved");
    assert_eq!((gina.version().await, ben.granted().await), (3, "1.6".to_owned()));
    assert_eq!(gil.reject(2).await.unwrap().state, "rejected");

    // Of two that are decided at once, one was made from a policy that is no longer in force.
    let (third, text) = gina.policy().await;
    let mut made = Vec::new();
    for epsilon in ["3", "4"] {
        let text = text.replacen("epsilon = \"1.6\"", &format!("epsilon = \"{epsilon}\""), 1);
        made.push(gina.propose(document(&text, &third.hash)).await.unwrap().id);
    }
    let both = futures::future::join(gus.approve(made[0]), gil.approve(made[1])).await;
    let epsilon = match both {
        (Ok(_), lost) => (refused("POLICY_CHANGED", lost), "3").1,
        (lost, Ok(_)) => (refused("POLICY_CHANGED", lost), "4").1,
        neither => panic!("{neither:?}"),
    };
    assert_eq!((gina.version().await, ben.granted().await.as_str()), (4, epsilon));
    running.stop().await.unwrap();
}

/// Reading is reading, wherever in a question: who may not is refused before anything is priced, and answers that were paid for stay.
#[tokio::test(flavor = "multi_thread")]
async fn columns_are_read_by_those_who_may() {
    let world = governed(&pure(["1e12", "5"]), "", "", "");
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    let sum = "SELECT sum(age) AS s FROM visits";
    let before = ben.asks.execute(named("before", sum, "0.5")).await.unwrap();
    let more = proto::Refinement { of: "before".into(), epsilon: "0.1".into(), ..Default::default() };
    ben.asks.quote_refinement(more.clone()).await.unwrap();
    let permission = |table: &str, column: &str| {
        format!(
            "\n[[permission]]\ndataset = \"clinic\"\ntable = \"{table}\"\ncolumns = [\"{column}\"]\nprincipals = [\"ana\"]\n"
        )
    };
    apply(&world, &[policy_file(&world), permission("visits", "age"), permission("hospitals", "beds")].concat());

    let account = ben.account().await;
    for sql in [
        sum,
        "SELECT hospital, avg(age) AS a FROM visits GROUP BY hospital",
        "SELECT count(*) AS n FROM visits WHERE age > 5",
        "SELECT age > 50 AS old, count(*) AS n FROM visits GROUP BY old",
        "SELECT count(*) AS n FROM visits v JOIN hospitals h ON v.hospital = h.hospital AND v.age < h.beds",
        "SELECT count(*) AS n FROM items i JOIN visits v ON i.visit_id = v.visit_id WHERE v.age > 5",
        "WITH old AS (SELECT patient_id FROM visits WHERE age > 60) SELECT count(*) AS n FROM old",
        "SELECT count(*) AS n FROM (SELECT age AS years FROM visits) t WHERE years > 5",
        "SELECT count(*) AS n FROM (SELECT patient_id, max(age) AS oldest FROM visits GROUP BY patient_id) t WHERE oldest > 60",
        "SELECT count(*) AS n FROM patients WHERE patient_id IN (SELECT patient_id FROM visits WHERE age > 60)",
        "SELECT count(*) AS n FROM patients p WHERE EXISTS (SELECT 1 FROM visits v WHERE v.patient_id = p.patient_id AND v.age > 60)",
        "SELECT hospital, count(*) AS n FROM visits GROUP BY hospital HAVING sum(age) > 10",
        "SELECT count(*) AS n FROM visits v JOIN (SELECT hospital, sum(age) AS s FROM visits GROUP BY hospital) t ON v.hospital = t.hospital AND t.s > 3",
        "SELECT WITH DIFFERENTIAL_PRIVACY hospital, SUM(age) AS s FROM visits GROUP BY hospital",
    ] {
        let e = ben.asks.quote(sql, "0.1").await.err().unwrap_or_else(|| panic!("quoted: {sql}"));
        assert_eq!((e.code(), code(&e)), (Code::PermissionDenied, "NOT_PERMITTED"), "{sql}: {e}");
        assert!(e.message().contains("column 'age' of table 'visits'"), "{sql}: {e}");
        refused("NOT_PERMITTED", ben.ask(sql, "0.1").await);
        ana.ask(sql, "1").await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    // A public table's columns are columns too, though they are free.
    refused("NOT_PERMITTED", ben.ask("SELECT beds FROM hospitals", "0.1").await);
    ana.ask("SELECT beds FROM hospitals", "0.1").await.unwrap();
    refused("NOT_PERMITTED", ben.asks.quote_refinement(more.clone()).await);
    refused("NOT_PERMITTED", ben.asks.refine(more).await);
    assert_eq!(ben.account().await, account);
    let again = ben.asks.execute(named("before", sum, "0.5")).await.unwrap();
    for answer in [again, ben.asks.get_answer("before").await.unwrap()] {
        assert!(answer.replayed && answer.table == before.table);
    }

    for sql in [
        COUNT,
        "SELECT hospital, count(*) AS n FROM visits GROUP BY hospital",
        "SELECT sum(cost) AS s FROM visits WHERE diagnosis = 'flu'",
        "SELECT count(*) AS n FROM items",
        "SELECT hospital FROM hospitals",
    ] {
        ben.ask(sql, "0.1").await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    assert_eq!(ben.account().await.charges, account.charges + 4);
    running.stop().await.unwrap();
}

/// What a column is read for counts, and for which team.
#[tokio::test(flavor = "multi_thread")]
async fn purposes_and_teams_open_columns() {
    let rest = r#"
[[purpose]]
name = "research"

[[purpose]]
name = "care"

[[team]]
name = "crew"
dataset = "clinic"
epsilon = "100"
delta = "0"

[[tier]]
name = "health"
dataset = "clinic"
purposes = ["care"]

[[permission]]
dataset = "clinic"
table = "visits"
columns = ["cost"]
teams = ["crew"]

[[permission]]
dataset = "clinic"
table = "visits"
columns = ["visit_date"]
purposes = ["care"]

[[grant]]
principal = "ana"
dataset = "clinic"
purpose = "care"
epsilon = "10"
delta = "0"
"#;
    let world = governed(&pure(["10", "10"]), "", "team = \"crew\"", rest);
    let running = world.serve().await;
    let (ana, ben, gina) =
        (Person::to(&running, ANA).await, Person::to(&running, BEN).await, Person::to(&running, GINA).await);
    for (sql, may) in [
        (COUNT, [true, true, true]),
        (FLU, [false, false, true]),
        ("SELECT count(diagnosis) AS n FROM visits", [false, false, true]),
        ("SELECT sum(cost) AS s FROM visits", [true, false, false]),
        ("SELECT count(*) AS n FROM visits WHERE visit_date >= DATE '2020-01-01'", [false, false, true]),
        ("SELECT sum(cost) AS s FROM visits WHERE diagnosis = 'flu'", [false, false, false]),
    ] {
        for ((person, purpose), may) in [(&ben, "research"), (&ana, "research"), (&ana, "care")].into_iter().zip(may) {
            let mut question = request(sql, "0.1").question.unwrap();
            question.purpose = purpose.into();
            let quoted = person.asks.quote_of(question).await.map(drop);
            let asked = person.ask_for(purpose, sql, "0.1").await.map(drop);
            for outcome in [quoted, asked] {
                let got = outcome.as_ref().err().map(code);
                assert_eq!(got, (!may).then_some("NOT_PERMITTED"), "{sql} for {purpose}: {outcome:?}");
            }
        }
    }
    let said = refused("NOT_PERMITTED", ben.ask(FLU, "0.1").await);
    assert!(said.contains("tier 'health'") && said.contains("purpose 'research'"), "{said}");
    assert!(refused("NO_GRANT", ana.ask(COUNT, "0.1").await).contains("care, research"));
    // Grants are for the purposes that there are.
    refused("INVALID_REQUEST", gina.propose(budget_for("ben", "ads", "1")).await);
    running.stop().await.unwrap();
}

/// All who read a tier's columns share its cap, whatever else they have; what does not read them goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_tier_has_a_cap_of_its_own() {
    let rest = "[[tier]]\nname = \"health\"\ndataset = \"clinic\"\nepsilon = \"0.3\"\n";
    let world = governed(&pure(["1e12", "100"]), "", "", rest);
    let running = world.serve().await;
    let (ana, ben, gina) =
        (Person::to(&running, ANA).await, Person::to(&running, BEN).await, Person::to(&running, GINA).await);
    let quote = ben.asks.quote(FLU, "0.15").await.unwrap();
    assert!(quote.affordable);
    assert_eq!(beside(quote.balance.as_ref().unwrap()), [("tier health", "0")]);
    assert!(ben.asks.quote(COUNT, "0.15").await.unwrap().balance.unwrap().shared.is_empty());
    assert!(!ben.asks.quote(FLU, "0.31").await.unwrap().affordable);

    let answer = ben.asks.execute(named("flu", FLU, "0.15")).await.unwrap();
    let after = answer.receipt.unwrap().balance_after.unwrap();
    assert_eq!(beside(&after), [("tier health", "0.15")]);
    assert_eq!(after.account.unwrap().spent_epsilon, "0.15");
    // One more draw for the same answer reads the same.
    let more = proto::Refinement { of: "flu".into(), epsilon: "0.05".into(), ..Default::default() };
    let refined = ben.asks.refine(more.clone()).await.unwrap();
    assert_eq!(beside(&refined.receipt.unwrap().balance_after.unwrap()), [("tier health", "0.2")]);
    ben.ask(COUNT, "1").await.unwrap();
    assert_eq!(gina.shared("tier health").await.spent_epsilon, "0.2");

    // Ana has as good as everything, and shares what is left of it.
    let before = ana.spent().await;
    assert!(!ana.asks.quote(FLU, "0.2").await.unwrap().affordable);
    let said = refused("BUDGET_EXHAUSTED", ana.ask(FLU, "0.2").await);
    assert!(said.contains("the cap of tier 'health'") && said.contains("at most epsilon 0.1 "), "{said}");
    assert_eq!(ana.spent().await, before);
    ana.ask(FLU, "0.1").await.unwrap();
    for person in [&ana, &ben] {
        let said = refused("BUDGET_EXHAUSTED", person.ask(FLU, "0.01").await);
        assert!(said.contains("the cap of tier 'health'"), "{said}");
        person.ask(COUNT, "1").await.unwrap();
    }
    refused("BUDGET_EXHAUSTED", ben.asks.refine(proto::Refinement { epsilon: "0.04".into(), ..more }).await);
    assert!(ben.asks.ask(FLU, "0.15").await.unwrap().replayed);
    let tier = gina.shared("tier health").await;
    assert_eq!((tier.spent_epsilon.as_str(), tier.remaining_epsilon.as_str(), tier.charges), ("0.3", "0", 3));
    verify(&world);
    running.stop().await.unwrap();
}

/// The most that one question may ask for is the least of what the dataset, the grant and what it reads allow, however it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn one_question_asks_for_what_it_may() {
    let priced = |quote: Result<proto::QuoteResponse, Status>| quote.unwrap().price.unwrap().epsilon;
    let by_text = |epsilon: &str| {
        format!("SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = {epsilon}) COUNT(*) AS n FROM visits")
    };

    let limits = "max_epsilon = \"0.2\"\ndefault_epsilon = \"0.05\"";
    let recipe = Recipe { max_epsilon: "2", ..pure(["1e12", "10"]) };
    let world = governed(&recipe, "max_epsilon = \"5\"", limits, "");
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    let account = ben.account().await;
    assert_eq!((account.max_epsilon.as_str(), account.default_epsilon.as_str()), ("0.2", "0.05"));
    assert_eq!(priced(ben.asks.quote(COUNT, "").await), "0.05");
    assert_eq!(priced(ben.asks.quote(COUNT, "0.2").await), "0.2");
    for (sql, epsilon) in [(COUNT, "0.200000000000000001"), (&by_text("0.3"), "")] {
        refused("EPSILON_ABOVE_MAXIMUM", ben.asks.quote(sql, epsilon).await);
        refused("EPSILON_ABOVE_MAXIMUM", ben.ask(sql, epsilon).await);
    }
    ben.ask(COUNT, "").await.unwrap();
    ben.asks.execute(named("first", COUNT, "0.2")).await.unwrap();
    let more = |epsilon: &str| proto::Refinement { of: "first".into(), epsilon: epsilon.into(), ..Default::default() };
    refused("EPSILON_ABOVE_MAXIMUM", ben.asks.refine(more("0.25")).await);
    assert_eq!(ben.spent().await, ["0.25", "0.25"]);
    ben.asks.refine(more("")).await.unwrap();
    assert_eq!(ben.spent().await, ["0.3", "0.3"]);
    // A grant allows no more than the dataset does.
    assert_eq!(priced(ana.asks.quote(COUNT, "").await), "0.1");
    assert_eq!(priced(ana.asks.quote(COUNT, "2").await), "2");
    refused("EPSILON_ABOVE_MAXIMUM", ana.asks.quote(COUNT, "2.5").await);
    running.stop().await.unwrap();

    let rest = "[[tier]]\nname = \"health\"\ndataset = \"clinic\"\nmax_epsilon = \"0.05\"\n";
    let world = governed(&pure(["1e12", "10"]), "", "max_epsilon = \"0.02\"", rest);
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    for (person, sql, free, most) in
        [(&ana, COUNT, "0.1", None), (&ana, FLU, "0.05", Some("0.06")), (&ben, FLU, "0.02", Some("0.03"))]
    {
        assert_eq!(priced(person.asks.quote(sql, "").await), free, "{sql}");
        match most {
            Some(most) => drop(refused("EPSILON_ABOVE_MAXIMUM", person.ask(sql, most).await)),
            None => drop(person.ask(sql, "7").await.unwrap()),
        }
    }
    let text = by_text("0.06").replace("FROM visits", "FROM visits WHERE diagnosis = 'flu'");
    refused("EPSILON_ABOVE_MAXIMUM", ana.ask(&text, "").await);
    ana.ask(FLU, "0.05").await.unwrap();
    running.stop().await.unwrap();
}

/// A group that is made of a tier's column, or of rows that it chose, is seen from so many units on; others as ever.
#[tokio::test(flavor = "multi_thread")]
async fn small_groups_of_a_tier_are_not_shown() {
    let rest = "[[tier]]\nname = \"health\"\ndataset = \"clinic\"\nmin_units = 2\n";
    let recipe = Recipe { patients: 20, delta: "1e-9", grant_delta: "1e-3", ..Recipe::default() };
    let world = governed(&recipe, "", "", rest);
    let running = world.serve().await;
    let ana = Person::to(&running, ANA).await;
    // Patients 1 to 20 and 4242: one in most groups, two in 1, 3 and 4, three in 2. Next to no noise, so that two are surely more than one.
    let ask = async |sql: &str| {
        let answer = ana.ask(sql, "1e9").await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        (rows(&batch(&answer.table)), answer.receipt.unwrap().releases[0].threshold)
    };
    let any = "FROM visits WHERE diagnosis <> 'none'";
    let counted = "SELECT patient_id % 16 AS k, count(DISTINCT patient_id) AS n";
    let (all, least) = ask(&format!("{counted} FROM visits GROUP BY k ORDER BY k")).await;
    assert_eq!(all, [["1", "2"], ["2", "3"], ["3", "2"], ["4", "2"]]);
    let (large, more) = ask(&format!("{counted} {any} GROUP BY k ORDER BY k")).await;
    assert_eq!(large, [["2", "3"]]);
    assert_eq!(more, least + 1);
    // Nothing but keys has a rule of its own.
    let keys = "SELECT DISTINCT patient_id % 16 AS k";
    assert_eq!(ask(&format!("{keys} FROM visits ORDER BY k")).await.0, [["1"], ["2"], ["3"], ["4"]]);
    assert_eq!(ask(&format!("{keys} {any} ORDER BY k")).await.0, [["2"]]);
    running.stop().await.unwrap();
}

/// Governance's limits for a dataset are within those of its declaration, and a grant's and a tier's within those.
#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_has_limits_of_its_own() {
    let recipe = Recipe { patients: 20, delta: "1e-9", grant_delta: "1e-3", ..Recipe::default() };
    let world = governed(&recipe, "max_epsilon = \"4\"", "max_epsilon = \"1\"", "");
    let limited = "pool_epsilon = \"1e12\"\nmax_epsilon = \"2\"\ndefault_epsilon = \"0.25\"\nmin_units = 2";
    rewrite(&world, "pool_epsilon = \"1e12\"", limited);
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    for (person, most) in [(&ana, "2"), (&ben, "1")] {
        assert_eq!(person.asks.quote(COUNT, "").await.unwrap().price.unwrap().epsilon, "0.25");
        person.asks.quote(COUNT, most).await.unwrap();
        let said = refused("EPSILON_ABOVE_MAXIMUM", person.asks.quote(COUNT, "2.1").await);
        assert!(said.contains(&format!("above the maximum of {most} ")), "{said}");
    }
    let counted = "SELECT patient_id % 16 AS k, count(DISTINCT patient_id) AS n FROM visits GROUP BY k";
    let threshold = |quote: proto::QuoteResponse| quote.releases[0].threshold;
    let with = threshold(ana.asks.quote(counted, "1").await.unwrap());
    apply(&world, &policy_file(&world).replacen("min_units = 2", "", 1));
    assert_eq!(threshold(ana.asks.quote(counted, "1").await.unwrap()) + 1, with);
    apply(&world, &policy_file(&world).replacen("min_units = 2", "max_delta = 0", 1));
    let said = refused("PRIVATE_KEYS", ana.asks.quote(counted, "1").await);
    assert!(said.contains("policy allows no delta"), "{said}");
    ana.ask(COUNT, "1").await.unwrap();
    running.stop().await.unwrap();
}

/// A grant by the day is there anew on the next one: its lifetime, the pool and the log go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_refills_the_grant_and_nothing_else() {
    let world = governed(&pure(["1e12", "0.5"]), "", "window = \"daily\"", "");
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    ben.asks.execute(named("first", COUNT, "0.5")).await.unwrap();
    let account = ben.account().await;
    assert_eq!(account.window, "daily");
    assert_eq!((account.window_began % DAY, account.window_ends), (0, account.window_began + DAY));
    assert!((account.window_began..account.window_ends).contains(&now()));
    let said = refused("BUDGET_EXHAUSTED", ben.ask(COUNT, "0.1").await);
    assert!(said.contains(&format!("nothing is left until {}", date(account.window_ends))), "{said}");
    let other = ana.balance().await;
    for state in [other.account.unwrap(), other.pool.unwrap()] {
        assert_eq!((state.window.as_str(), state.window_began, state.window_ends), ("", 0, 0));
    }
    verify(&world);

    a_day_later(&world).await;
    let fresh = ben.account().await;
    assert_eq!((fresh.spent_epsilon.as_str(), fresh.remaining_epsilon.as_str(), fresh.charges), ("0", "0.5", 0));
    assert_eq!((fresh.lifetime_epsilon.as_str(), fresh.lifetime_charges), ("0.5", 1));
    assert!(ben.asks.quote(COUNT, "0.25").await.unwrap().affordable);
    assert!(ben.asks.ask(COUNT, "0.5").await.unwrap().replayed);
    ben.ask(COUNT, "0.25").await.unwrap();
    let balance = ben.balance().await;
    let (account, pool) = (balance.account.unwrap(), balance.pool.unwrap());
    assert_eq!(
        (account.spent_epsilon.as_str(), account.remaining_epsilon.as_str(), account.charges),
        ("0.25", "0.25", 1)
    );
    assert_eq!((account.lifetime_epsilon.as_str(), account.lifetime_charges), ("0.75", 2));
    // All of it is private at what all of it has cost.
    assert_eq!((account.loss_epsilon.as_str(), account.loss_delta.as_str()), ("0.75", "0"));
    assert_eq!((pool.spent_epsilon.as_str(), pool.charges), ("0.75", 2));
    refused("BUDGET_EXHAUSTED", ben.ask(COUNT, "0.3").await);
    verify(&world);

    // A restart is no new day.
    drop((ana, ben));
    running.stop().await.unwrap();
    let running = world.serve().await;
    let ben = Person::to(&running, BEN).await;
    assert_eq!(ben.account().await, account);
    ben.ask(COUNT, "0.25").await.unwrap();
    refused("BUDGET_EXHAUSTED", ben.ask(COUNT, "0.01").await);
    verify(&world);
    running.stop().await.unwrap();
}

/// The last day of a grant, or of its team, is one of its days.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_ends_after_its_last_day() {
    let (yesterday, today) = (date(now() - DAY), date(now()));
    let world = governed(&pure(["1e12", "5"]), "", &format!("until = {today}"), "");
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    let kept = ben.asks.execute(named("kept", COUNT, "0.5")).await.unwrap();
    let expires = ben.account().await.expires_at;
    assert_eq!((expires % DAY, date(expires)), (0, date(now() + DAY)));
    apply(&world, &policy_file(&world).replacen(&today, &yesterday, 1));
    assert_eq!(ben.account().await.expires_at, expires - DAY);
    let e = ben.ask(COUNT, "0.1").await.unwrap_err();
    assert_eq!((e.code(), code(&e)), (Code::PermissionDenied, "NO_GRANT"), "{e}");
    assert!(e.message().contains("has expired"), "{e}");
    assert_eq!(ben.account().await.charges, 1);
    assert_eq!(ben.asks.get_answer("kept").await.unwrap().table, kept.table);
    assert!(ben.asks.ask(COUNT, "0.5").await.unwrap().replayed);
    ana.ask(COUNT, "0.1").await.unwrap();
    running.stop().await.unwrap();

    for (day, works) in [(&today, true), (&yesterday, false)] {
        let team =
            format!("[[team]]\nname = \"crew\"\ndataset = \"clinic\"\nepsilon = \"5\"\ndelta = \"0\"\nuntil = {day}\n");
        let world = governed(&pure(["1e12", "5"]), "", "team = \"crew\"", &team);
        let running = world.serve().await;
        let ben = Person::to(&running, BEN).await;
        match works {
            true => drop(ben.ask(COUNT, "0.1").await.unwrap()),
            false => assert!(refused("NO_GRANT", ben.ask(COUNT, "0.1").await).contains("team 'crew'")),
        }
        running.stop().await.unwrap();
    }
}

/// What a team may spend is shared by its members; who pays, pays together with the team and the pool, or nobody does.
#[tokio::test(flavor = "multi_thread")]
async fn all_who_pay_pay_or_none_does() {
    let team = |epsilon: &str| {
        format!("[[team]]\nname = \"crew\"\ndataset = \"clinic\"\nepsilon = \"{epsilon}\"\ndelta = \"0\"\n")
    };
    let (member, both) = ("team = \"crew\"", pure(["1", "1"]));
    let world = governed(&both, member, member, &team("1.5"));
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    let (gina, gus) = (Person::to(&running, GINA).await, Person::to(&running, GUS).await);
    ana.ask(COUNT, "1").await.unwrap();
    assert_eq!(ana.spent().await, ["1", "1", "1"]);
    assert_eq!(beside(&ben.balance().await), [("team crew", "1")]);
    let before = ben.balance().await;
    assert!(!ben.asks.quote(COUNT, "0.75").await.unwrap().affordable);
    let said = refused("BUDGET_EXHAUSTED", ben.ask(COUNT, "0.75").await);
    assert!(said.contains("the account of team 'crew'") && said.contains("at most epsilon 0.5 "), "{said}");
    assert_eq!(ben.balance().await, before);
    // The own grant's end takes nothing from the team.
    let said = refused("BUDGET_EXHAUSTED", ana.ask(COUNT, "0.25").await);
    assert!(said.contains("the account of 'ana'"), "{said}");
    assert_eq!(ben.balance().await, before);
    assert!(ben.asks.quote(COUNT, "0.5").await.unwrap().affordable);
    let after = ben.ask(COUNT, "0.5").await.unwrap().receipt.unwrap().balance_after.unwrap();
    assert_eq!(beside(&after), [("team crew", "1.5")]);
    assert_eq!(ben.spent().await, ["0.5", "1.5", "1.5"]);
    // What a member has not spent may become the team's.
    carried_out(&gina, &gus, moved("ben", "team:crew", "0.25")).await;
    let crew = gina.shared("team crew").await;
    assert_eq!((crew.granted_epsilon.as_str(), crew.spent_epsilon.as_str(), crew.charges), ("1.75", "1.5", 2));
    assert_eq!(ben.granted().await, "0.75");
    ben.ask(COUNT, "0.25").await.unwrap();
    verify(&world);
    running.stop().await.unwrap();

    let world = governed(&both, member, member, &team("1.5"));
    rewrite(&world, "pool_epsilon = \"1e12\"", "pool_epsilon = \"1.2\"");
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    ana.ask(COUNT, "1").await.unwrap();
    let said = refused("BUDGET_EXHAUSTED", ben.ask(COUNT, "0.5").await);
    assert!(said.contains("the pooled cap of dataset 'clinic'"), "{said}");
    assert_eq!(ben.spent().await, ["0", "1", "1"]);
    ben.ask(COUNT, "0.2").await.unwrap();
    assert_eq!(ben.spent().await, ["0.2", "1.2", "1.2"]);
    verify(&world);
    running.stop().await.unwrap();

    // However many ask at once.
    let world = governed(&pure(["5", "5"]), member, member, &team("1"));
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    let asked = (0..30).map(|n| if n % 2 == 0 { &ana } else { &ben }).map(|person| person.ask(COUNT, "0.1"));
    let outcomes = futures::future::join_all(asked).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 10);
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        assert!(refused("BUDGET_EXHAUSTED", outcome).contains("team 'crew'"));
    }
    let charges = [ana.account().await.charges, ben.account().await.charges];
    assert_eq!((charges[0] + charges[1], &ben.spent().await[1..]), (10, &["1".to_owned(), "1".to_owned()][..]));
    verify(&world);
    running.stop().await.unwrap();
}

/// A policy whose pool is 10, with a share for Ben.
fn shared_pool(ana: &str, ben: &str, rest: &str) -> World {
    let world = governed(&pure(["1e12", "100"]), ana, ben, rest);
    rewrite(&world, "pool_epsilon = \"1e12\"", "pool_epsilon = \"10\"");
    world
}

/// A team that has six tenths of the pool, two of which are Ben's; Gil is in no team.
fn shared_by_a_team() -> World {
    let rest = r#"
[[team]]
name = "crew"
dataset = "clinic"
epsilon = "100"
delta = "0"
reserved = "0.6"

[[grant]]
principal = "gil"
dataset = "clinic"
purpose = "research"
epsilon = "100"
delta = "0"
"#;
    let world = shared_pool("team = \"crew\"", "team = \"crew\"\nreserved = \"0.2\"", rest);
    rewrite(&world, "\"gus\", \"gil\"]", "\"gus\"]");
    world
}

/// What is kept for somebody is there when they come, however much others would like of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_reserved_share_is_left_by_others() {
    let world = shared_pool("", "reserved = \"0.5\"", "");
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    let of_pool = |balance: proto::Balance| {
        let pool = balance.pool.unwrap();
        [pool.remaining_epsilon, pool.kept_epsilon]
    };
    assert_eq!(ben.account().await.reserved, "0.5");
    assert_eq!(
        (of_pool(ana.balance().await), of_pool(ben.balance().await)),
        (["5", "5"].map(String::from), ["10", "0"].map(String::from))
    );
    assert!(!ana.asks.quote(COUNT, "5.5").await.unwrap().affordable);
    let said = refused("BUDGET_EXHAUSTED", ana.ask(COUNT, "5.5").await);
    assert!(said.contains("the pooled cap") && said.contains("at most epsilon 5 "), "{said}");
    ana.ask(COUNT, "5").await.unwrap();
    let said = refused("BUDGET_EXHAUSTED", ana.ask(COUNT, "0.1").await);
    assert!(said.contains("reserved for others"), "{said}");
    assert_eq!(of_pool(ana.balance().await), ["0", "5"]);
    ben.ask(COUNT, "5").await.unwrap();
    let said = refused("BUDGET_EXHAUSTED", ben.ask(COUNT, "0.1").await);
    assert!(said.contains("nothing is left") && !said.contains("reserved"), "{said}");
    assert_eq!(ben.spent().await, ["5", "10"]);
    running.stop().await.unwrap();

    // What he has spent of it is not kept for him once more.
    let world = shared_pool("", "reserved = \"0.5\"", "");
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    ben.ask(COUNT, "2").await.unwrap();
    assert_eq!(of_pool(ana.balance().await), ["5", "3"]);
    refused("BUDGET_EXHAUSTED", ana.ask(COUNT, "5.1").await);
    ana.ask(COUNT, "5").await.unwrap();
    ben.ask(COUNT, "3").await.unwrap();
    refused("BUDGET_EXHAUSTED", ben.ask(COUNT, "0.1").await);
    running.stop().await.unwrap();

    // Who is in no team leaves the team's share, and its members leave each other's.
    let world = shared_by_a_team();
    let running = world.serve().await;
    let (ana, ben, gil) =
        (Person::to(&running, ANA).await, Person::to(&running, BEN).await, Person::to(&running, GIL).await);
    for (person, most, kept) in [(&gil, "4", true), (&ana, "4", true), (&ben, "2", false)] {
        person.ask(COUNT, most).await.unwrap();
        let said = refused("BUDGET_EXHAUSTED", person.ask(COUNT, "0.1").await);
        assert_eq!(said.contains("reserved for others"), kept, "{said}");
    }
    assert_eq!(ben.spent().await, ["2", "6", "10"]);
    verify(&world);
    running.stop().await.unwrap();
}

/// Governance stops whom it names, with a reason, and nobody else lets them go on; what was paid for stays theirs.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_frozen_stops_until_governance_lifts_it() {
    let rest = "[[tier]]\nname = \"health\"\ndataset = \"clinic\"\nepsilon = \"100\"\n";
    let world = governed(&pure(["1e12", "5"]), "", "", rest);
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    let (gina, gus) = (Person::to(&running, GINA).await, Person::to(&running, GUS).await);
    let kept = ben.asks.execute(named("kept", COUNT, "0.5")).await.unwrap();
    let why = "an odd pattern of questions";
    gina.freeze("ben", why, false).await.unwrap();
    let e = ben.ask(COUNT, "0.1").await.unwrap_err();
    assert_eq!((e.code(), code(&e)), (Code::PermissionDenied, "ACCOUNT_FROZEN"), "{e}");
    assert!(e.message().contains(why), "{e}");
    let quote = ben.asks.quote(COUNT, "0.1").await.unwrap();
    let balance = quote.balance.unwrap();
    assert_eq!((quote.affordable, balance.frozen, balance.frozen_because.as_str()), (false, false, why));
    assert_eq!(ben.spent().await, ["0.5", "0.5"]);
    for answer in [
        ben.asks.get_answer("kept").await.unwrap(),
        ben.asks.execute(named("kept", COUNT, "0.5")).await.unwrap(),
        ben.asks.ask(COUNT, "0.5").await.unwrap(),
    ] {
        assert!(answer.replayed && answer.table == kept.table);
    }
    ana.ask(COUNT, "0.1").await.unwrap();

    // The operator lifts what failures froze, and nothing else.
    let (done, said) = world.run(&[
        "unfreeze",
        "--config",
        "undertone.toml",
        "--dataset",
        "clinic",
        "--principal",
        "ben",
        "--reason",
        "a favour",
    ]);
    assert!(!done && said.contains("no account of 'ben' on dataset 'clinic' is frozen"), "{said}");
    refused("ACCOUNT_FROZEN", ben.ask(COUNT, "0.1").await);
    refused("INVALID_REQUEST", gina.freeze("ben", why, false).await);
    refused("INVALID_REQUEST", gina.freeze("zoe", why, false).await);
    refused("INVALID_REQUEST", gina.freeze("ana", why, true).await);
    // Another grant is no way out, and neither is a restart.
    carried_out(&gina, &gus, budget_for("ben", "care", "1")).await;
    verify(&world);
    drop((ana, ben, gina, gus));
    running.stop().await.unwrap();
    let running = world.serve().await;
    let (ana, ben, gina) =
        (Person::to(&running, ANA).await, Person::to(&running, BEN).await, Person::to(&running, GINA).await);
    for purpose in ["research", "care"] {
        assert!(refused("ACCOUNT_FROZEN", ben.ask_for(purpose, COUNT, "0.1").await).contains(why));
    }
    gina.freeze("ben", "it was a script", true).await.unwrap();
    for purpose in ["research", "care"] {
        ben.ask_for(purpose, COUNT, "0.1").await.unwrap();
    }
    assert!(ben.balances().await.iter().all(|balance| balance.frozen_because.is_empty()));

    // A tier, and everybody.
    gina.freeze("tier:health", "a new law", false).await.unwrap();
    assert!(refused("ACCOUNT_FROZEN", ana.ask(FLU, "0.1").await).contains("a new law"));
    ana.ask(COUNT, "0.1").await.unwrap();
    gina.freeze("", "an incident", false).await.unwrap();
    for outcome in [ana.ask(COUNT, "0.1").await, ben.ask_for("care", COUNT, "0.1").await] {
        assert!(refused("ACCOUNT_FROZEN", outcome).contains("an incident"));
    }
    assert!(!ana.asks.quote(COUNT, "0.1").await.unwrap().affordable);
    assert_eq!(ben.asks.get_answer("kept").await.unwrap().table, kept.table);
    verify(&world);
    gina.freeze("", "it is over", true).await.unwrap();
    ben.ask_for("care", COUNT, "0.1").await.unwrap();
    ana.ask(COUNT, "0.1").await.unwrap();
    refused("ACCOUNT_FROZEN", ana.ask(FLU, "0.1").await);
    refused("INVALID_REQUEST", gina.freeze("", "it is over", true).await);
    gina.freeze("tier:health", "the law is no more", true).await.unwrap();
    ana.ask(FLU, "0.1").await.unwrap();
    verify(&world);
    running.stop().await.unwrap();
}

/// After changes of all kinds the balances follow from the log, the auditor reads what the operator exports, and charges and receipts name the policy
/// they were made under.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_what_governance_did() {
    let rest = r#"
[[team]]
name = "crew"
dataset = "clinic"
epsilon = "100"
delta = "1e-4"
reserved = "0.2"

[[tier]]
name = "health"
dataset = "clinic"
epsilon = "50"
delta = "1e-4"
"#;
    let recipe = Recipe { patients: 20, grants: ["100", "5"], grant_delta: "1e-4", ..Recipe::default() };
    let world = governed(&recipe, "team = \"crew\"", "window = \"daily\"\nmax_epsilon = \"1\"", rest);
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    let (gina, gus, audrey) =
        (Person::to(&running, GINA).await, Person::to(&running, GUS).await, Person::to(&running, AUDREY).await);
    ana.asks.execute(named("flu", FLU, "0.5")).await.unwrap();
    let mut gaussian = named("gaussian", COUNT, "0.5");
    gaussian.question.as_mut().unwrap().mechanism = proto::Mechanism::Gaussian.into();
    ana.asks.execute(gaussian).await.unwrap();
    ben.asks.execute(named("count", COUNT, "0.25")).await.unwrap();
    assert!(ben.asks.ask(COUNT, "0.25").await.unwrap().replayed);
    ben.asks.quote(FLU, "0.25").await.unwrap();
    refused("EPSILON_ABOVE_MAXIMUM", ben.ask(COUNT, "2").await);
    gina.freeze("ben", "a look at it", false).await.unwrap();
    refused("ACCOUNT_FROZEN", ben.ask(COUNT, "0.1").await);
    gina.freeze("ben", "it was nothing", true).await.unwrap();
    let first = ben.request("1").await.unwrap().id;
    gina.approve(first).await.unwrap();
    let second = ben.request("9").await.unwrap().id;
    gus.reject(second).await.unwrap();
    carried_out(&gina, &gus, moved("ana", "team:crew", "1")).await;
    carried_out(&gina, &gus, revoked("ben")).await;
    carried_out(&gina, &gus, budget("ben", "2")).await;
    apply(&world, &gina.policy().await.1.replacen("pool_epsilon = \"1e12\"", "pool_epsilon = \"1e6\"", 1));
    ben.asks.execute(named("after", COUNT, "0.125")).await.unwrap();
    verify(&world);

    let (done, exported) = world.run(&["audit", "export", "--config", "undertone.toml"]);
    assert!(done, "{exported}");
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let head = audrey.audit().get_head(proto::GetHeadRequest {}).await.unwrap().into_inner();
    assert_eq!((head.entries as usize, json!(head.hash)), (lines.len(), lines[lines.len() - 1]["hash"].clone()));
    let line = |entry: proto::AuditEntry| {
        let proto::AuditEntry { seq, at, kind, body, previous, hash } = entry;
        let body: Value = serde_json::from_str(&body).unwrap();
        json!({ "seq": seq, "at": at, "kind": kind, "body": body, "previous": previous, "hash": hash })
    };
    for from in [0, 1, 7, head.entries, head.entries + 1] {
        let read: Vec<Value> = audrey.log(from).await.into_iter().map(line).collect();
        assert_eq!(read, lines[(from.max(1) - 1) as usize..], "from {from}");
    }
    std::fs::write(world.path("log.ndjson"), &exported).unwrap();
    let (proven, said) = world.run(&["audit", "verify", "--log", "log.ndjson"]);
    assert!(proven && said.contains(&head.hash), "{said}");

    // Six policies, and each charge is of one of them.
    let found = audrey.governance().list_policies(proto::ListPoliciesRequest {}).await.unwrap().into_inner();
    let mut hashes: Vec<String> = found.versions.into_iter().map(|version| version.hash).collect();
    hashes.reverse();
    let of_kind =
        |kind: &str| lines.iter().filter(|line| line["kind"] == kind).map(|line| &line["body"]).collect::<Vec<_>>();
    assert_eq!(of_kind("policy").iter().map(|body| body["policy"].clone()).collect::<Vec<_>>(), hashes);
    assert_eq!((hashes.len(), &hashes[0]), (6, &digest(&policy_file(&world))));
    for (person, id, policy) in [(&ana, "flu", 0), (&ana, "gaussian", 0), (&ben, "count", 0), (&ben, "after", 5)] {
        let receipt = person.asks.get_answer(id).await.unwrap().receipt.unwrap();
        assert_eq!(receipt.governance_policy, hashes[policy], "{id}");
        let charges: Vec<_> = of_kind("charge").into_iter().filter(|body| body["query_id"] == id).collect();
        assert_eq!((charges.len(), &charges[0]["policy"]), (1, &json!(hashes[policy])), "{id}");
        let also = match id {
            "flu" => json!(["team:crew", "tier:health"]),
            "gaussian" => json!(["team:crew"]),
            _ => Value::Null,
        };
        assert_eq!(charges[0]["also"], also, "{id}");
    }
    for (kind, times) in
        [("proposal", 5), ("approval", 4), ("rejection", 1), ("hold", 1), ("release", 1), ("grant withdrawn", 1)]
    {
        assert_eq!(of_kind(kind).len(), times, "{kind}");
    }
    running.stop().await.unwrap();
}

/// The program with a server and a token in its environment, and nothing else of this machine's: its exit code, and what it said.
fn command(world: &World, running: &Running, token: &str, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_undertone"))
        .env_clear()
        .env("HOME", world.dir.path())
        .env("UNDERTONE_URL", format!("http://{}", running.address))
        .env("UNDERTONE_TOKEN", token)
        .current_dir(world.dir.path())
        .args(args)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// Arguments of a command over the world's own ledger.
fn here<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &["--config", "undertone.toml"]].concat()
}

/// Policies as files, by whoever has the ledger's machine.
#[tokio::test(flavor = "multi_thread")]
async fn policies_are_files_for_operators() {
    let world = governed(&pure(["1e12", "0.5"]), "", "", "");
    let first = policy_file(&world);
    let next = first.replacen("epsilon = \"0.5\"", "epsilon = \"0.75\"", 1);
    let unknown = first.replacen("principal = \"ben\"", "principal = \"zoe\"", 1);
    for (file, text) in [
        ("next.toml", next.as_str()),
        ("unknown.toml", unknown.as_str()),
        ("broken.toml", "[[grant]]\nprincipal = 1\n"),
    ] {
        std::fs::write(world.path(file), text).unwrap();
    }
    let done = |args: &[&str]| {
        let (done, said) = world.run(&[&["policy"], args].concat());
        assert!(done, "{args:?}: {said}");
        said
    };
    let failed = |args: &[&str]| {
        let (done, said) = world.run(&[&["policy"], args].concat());
        assert!(!done, "{args:?}: {said}");
        said
    };
    assert!(done(&["check", "policy.toml"]).contains(&format!("1 datasets, 2 grants, hash {}: fine", digest(&first))));
    done(&here(&["check", "policy.toml"]));
    // By itself a policy knows no principals.
    done(&["check", "unknown.toml"]);
    assert!(failed(&here(&["check", "unknown.toml"])).contains("principal 'zoe'"));
    let said = failed(&["check", "broken.toml"]);
    assert!(said.contains("broken.toml") && said.contains("line 2"), "{said}");

    let running = world.serve().await;
    let (ben, gina) = (Person::to(&running, BEN).await, Person::to(&running, GINA).await);
    assert_eq!(done(&here(&["show"])), first);
    assert_eq!(done(&here(&["diff", "policy.toml"])), "");
    let said = done(&here(&["diff", "next.toml"]));
    assert!(said.contains("\n-epsilon = \"0.5\"\n") && said.contains("\n+epsilon = \"0.75\"\n"), "{said}");
    let said = done(&here(&["history"]));
    assert!(said.contains("the server's operator") && said.contains("the first policy of this ledger"), "{said}");
    let said = done(&here(&["simulate", "next.toml"]));
    let whose = "the account of 'ben' for purpose 'research' on dataset 'clinic'";
    assert!(said.contains(whose) && said.contains("needs 1 approval of others"), "{said}");
    assert!(done(&here(&["simulate", "policy.toml"])).contains("no account changes"));
    let effect: Value = serde_json::from_str(&done(&here(&["simulate", "next.toml", "--format", "json"]))).unwrap();
    assert_eq!(effect["accounts"][0]["remaining_after"], "0.75");
    assert_eq!((gina.version().await, ben.granted().await), (1, "0.5".to_owned()));

    let (right, wrong) = (digest(&first), digest(&next));
    let said = failed(&here(&["apply", "next.toml", "--reason", "more", "--based-on", &wrong]));
    assert!(said.contains("POLICY_CHANGED"), "{said}");
    assert!(failed(&here(&["apply", "unknown.toml", "--reason", "more"])).contains("principal 'zoe'"));
    assert!(failed(&here(&["apply", "next.toml"])).contains("--reason"));
    assert_eq!((gina.version().await, ben.granted().await), (1, "0.5".to_owned()));
    let said = done(&here(&["apply", "next.toml", "--reason", "more for Ben", "--based-on", &right]));
    assert!(said.ends_with(&format!("policy 2 is in force, with hash {wrong}\n")), "{said}");
    // What calls made is not taken back by a file that does not know of it.
    assert_eq!((gina.version().await, ben.granted().await), (2, "0.75".to_owned()));
    assert!(done(&here(&["history"])).contains("more for Ben"));
    assert_eq!((done(&here(&["show"])), done(&here(&["show", "--version", "1"]))), (next, first));
    failed(&here(&["show", "--version", "3"]));
    // Without a file it is the configuration's; and what was in force before may be in force again.
    let said = done(&here(&["apply", "--reason", "back"]));
    assert!(said.ends_with(&format!("policy 3 is in force, with hash {right}\n")), "{said}");
    assert_eq!(ben.granted().await, "0.5");
    verify(&world);
    running.stop().await.unwrap();
}

/// The same by commands over the wire, for those who have a token and no machine.
#[tokio::test(flavor = "multi_thread")]
async fn governance_works_by_commands() {
    let world = governed(&pure(["1e12", "0.5"]), "", "", "");
    let running = world.serve().await;
    let says = |token: &str, args: &[&str], words: &[&str]| {
        let (exit, said) = command(&world, &running, token, args);
        assert!(exit == Some(0) && words.iter().all(|word| said.contains(word)), "{args:?}: {exit:?}\n{said}");
        said
    };
    let refuses = |token: &str, args: &[&str]| {
        let (exit, said) = command(&world, &running, token, args);
        assert!(exit == Some(4) && said.contains("NOT_PERMITTED"), "{args:?}: {exit:?}\n{said}");
    };
    let wanted =
        ["request", "--dataset", "clinic", "--purpose", "research", "--epsilon", "2", "--justification", "a report"];
    let first = [
        "proposal 1 of ben",
        "open, 0 of 1 approvals",
        "(2, 0) more for ben for research on clinic",
        "because: a report",
    ];
    assert!(!says(BEN, &wanted, &first).contains("epsilon left"));
    says(BEN, &["requests"], &first);
    refuses(BEN, &["govern", "proposals"]);
    refuses(BEN, &["govern", "approve", "1", "--reason", "mine"]);
    refuses(OTTO, &["govern", "accounts"]);
    refuses(AUDREY, &["govern", "approve", "1", "--reason", "fine"]);
    refuses(OTTO, &wanted);
    for token in [GINA, AUDREY] {
        says(
            token,
            &["govern", "accounts"],
            &["ana for research on clinic", "ben for research on clinic", "pool of clinic"],
        );
        says(
            token,
            &["govern", "proposals"],
            &[&first[..], &["the account of 'ben'", "needs 1 approval of others"]].concat(),
        );
    }
    let accounts: Value = serde_json::from_str(&says(GINA, &["govern", "accounts", "--format", "json"], &[])).unwrap();
    assert_eq!(accounts["balances"][1]["account"]["granted_epsilon"], "0.5");
    assert_eq!(accounts["shared"][0]["name"], "pool of clinic");
    says(
        GINA,
        &["govern", "approve", "1", "--reason", "fine"],
        &["approved, 1 of 1 approvals", "approved by gina", ": fine"],
    );
    says(BEN, &["requests"], &["proposal 1 of ben", "approved by gina"]);
    says(BEN, &["budget"], &["clinic for research", "(2.5, 0)"]);

    let account = ["--dataset", "clinic"];
    let moves =
        ["govern", "move", "--from", "ana/research", "--to", "ben/research", "--epsilon", "1", "--reason", "a swap"];
    says(
        GINA,
        &[&moves[..], &account].concat(),
        &["proposal 2 of gina", "(1, 0) of ana for research to ben for research"],
    );
    says(GUS, &["govern", "reject", "2", "--reason", "not now"], &["rejected by gus", ": not now"]);
    let ends = ["govern", "revoke", "--principal", "ben", "--purpose", "research", "--reason", "the project is over"];
    says(GINA, &[&ends[..], &account].concat(), &["the end of the grant of ben for research on clinic", "none"]);
    says(GUS, &["govern", "reject", "3", "--reason", "it goes on"], &[]);
    says(GINA, &["govern", "proposals"], &["there are no proposals"]);
    says(GINA, &["govern", "proposals", "--all"], &["proposal 1 of ben", "proposal 2 of gina", "proposal 3 of gina"]);

    let freeze = ["govern", "freeze", "--holder", "ben", "--reason", "a look at it"];
    says(GINA, &[&freeze[..], &account].concat(), &["they are frozen"]);
    says(AUDREY, &["govern", "accounts"], &["frozen: a look at it"]);
    says(GINA, &[&freeze[..], &account, &["--lift"]].concat(), &["they may go on"]);
    assert!(!says(GINA, &["govern", "accounts"], &[]).contains("frozen"));

    // Policies without the ledger's machine: they are read, compared and proposed.
    let text = says(GINA, &["policy", "show"], &["epsilon = \"2.5\""]);
    says(AUDREY, &["policy", "history"], &["the first policy of this ledger", "a report", "gina"]);
    refuses(ANA, &["policy", "show"]);
    let next = text.replacen("epsilon = \"2.5\"", "epsilon = \"3\"", 1);
    std::fs::write(world.path("next.toml"), &next).unwrap();
    says(GINA, &["policy", "diff", "next.toml"], &["-epsilon = \"2.5\"", "+epsilon = \"3\""]);
    says(GINA, &["policy", "simulate", "next.toml"], &["the account of 'ben'", "needs 1 approval of others"]);
    refuses(AUDREY, &["policy", "propose", "next.toml", "--reason", "a new year"]);
    says(
        GINA,
        &["policy", "propose", "next.toml", "--reason", "a new year"],
        &["proposal 4 of gina", "another policy, made from"],
    );
    refuses(GINA, &["govern", "approve", "4", "--reason", "mine"]);
    says(GUS, &["govern", "approve", "4", "--reason", "fine"], &["approved by gus"]);
    assert_eq!(says(AUDREY, &["policy", "show"], &[]), next);
    says(BEN, &["budget"], &["(3, 0)"]);
    verify(&world);
    running.stop().await.unwrap();
}

/// A member's share is the member's even where the rest of the team has spent more than the team's share: nobody outside can take it.
#[tokio::test(flavor = "multi_thread")]
async fn a_share_within_a_team_is_left_by_those_outside() {
    let world = shared_by_a_team();
    let running = world.serve().await;
    let (ana, ben, gil) =
        (Person::to(&running, ANA).await, Person::to(&running, BEN).await, Person::to(&running, GIL).await);
    // Four of the team's, and four that are nobody's: all but Ben's two.
    ana.ask(COUNT, "8").await.unwrap();
    assert!(refused("BUDGET_EXHAUSTED", ana.ask(COUNT, "0.1").await).contains("reserved for others"));
    assert!(refused("BUDGET_EXHAUSTED", gil.ask(COUNT, "0.5").await).contains("reserved for others"));
    ben.ask(COUNT, "2").await.unwrap();
    running.stop().await.unwrap();
}

/// A quote says what can be paid now: nothing, by a grant that has expired, or whose team has.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_grant_affords_nothing() {
    let ended = format!("until = {}", date(now() - DAY));
    let team = format!("[[team]]\nname = \"crew\"\ndataset = \"clinic\"\nepsilon = \"5\"\ndelta = \"0\"\n{ended}\n");
    let world = governed(&pure(["5", "5"]), "team = \"crew\"", &ended, &team);
    let running = world.serve().await;
    for token in [ANA, BEN] {
        let person = Person::to(&running, token).await;
        refused("NO_GRANT", person.ask(COUNT, "0.1").await);
        assert!(!person.asks.quote(COUNT, "0.1").await.unwrap().affordable, "{token}");
    }
    running.stop().await.unwrap();
}

/// The balance beside an answer has all accounts that paid for it, as its receipt and its quote have.
#[tokio::test(flavor = "multi_thread")]
async fn the_balance_of_an_answer_has_its_tiers() {
    let rest = "[[tier]]\nname = \"health\"\ndataset = \"clinic\"\nepsilon = \"0.3\"\n";
    let world = governed(&pure(["1", "1"]), "", "", rest);
    let running = world.serve().await;
    let ben = Person::to(&running, BEN).await;
    let answer = ben.ask(FLU, "0.1").await.unwrap();
    assert_eq!(beside(answer.balance.as_ref().unwrap()), [("tier health", "0.1")]);
    running.stop().await.unwrap();
}

/// What somebody had spent before a grant was withdrawn is spent of the next one, and whoever approves that is told so.
#[tokio::test(flavor = "multi_thread")]
async fn an_effect_counts_what_was_spent_before() {
    let world = governed(&pure(["1", "1"]), "", "", "");
    let running = world.serve().await;
    let (ben, gina, gus) =
        (Person::to(&running, BEN).await, Person::to(&running, GINA).await, Person::to(&running, GUS).await);
    ben.ask(COUNT, "0.75").await.unwrap();
    carried_out(&gina, &gus, revoked("ben")).await;
    for (epsilon, left, overdrawn) in [("1", "0.25", false), ("0.5", "0", true)] {
        let effect = gina.simulate(budget("ben", epsilon)).await.unwrap();
        assert_eq!(effect.accounts.len(), 1);
        let change = &effect.accounts[0];
        assert_eq!((change.remaining_after.as_str(), change.overdrawn), (left, overdrawn), "{epsilon}");
    }
    running.stop().await.unwrap();
}

/// A grant without a window is there once: what was spent in windows before counts against it.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_windows_forgets_nothing() {
    let world = governed(&pure(["1", "0.5"]), "", "window = \"daily\"", "");
    let running = world.serve().await;
    let ben = Person::to(&running, BEN).await;
    ben.ask(COUNT, "0.5").await.unwrap();
    a_day_later(&world).await;
    ben.ask(COUNT, "0.1").await.unwrap();
    apply(&world, &policy_file(&world).replacen("window = \"daily\"", "", 1));
    let account = ben.account().await;
    assert_eq!((account.window.as_str(), account.lifetime_epsilon.as_str()), ("", "0.6"));
    assert_eq!(account.remaining_epsilon, "0", "everything learned through the account is to be private at 0.5");
    refused("BUDGET_EXHAUSTED", ben.ask(COUNT, "0.1").await);
    running.stop().await.unwrap();
}

/// A permission for a whole table is about its rows, too, and not about its columns alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_table_is_more_than_its_columns() {
    let rest = "[[permission]]\ndataset = \"clinic\"\ntable = \"patients\"\nprincipals = [\"ana\"]\n";
    let world = governed(&pure(["5", "5"]), "", "", rest);
    let running = world.serve().await;
    let (ana, ben) = (Person::to(&running, ANA).await, Person::to(&running, BEN).await);
    for sql in ["SELECT count(*) AS n FROM patients WHERE region = 'north'", "SELECT count(*) AS n FROM patients"] {
        ana.ask(sql, "0.1").await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        refused("NOT_PERMITTED", ben.ask(sql, "0.1").await);
    }
    ben.ask(COUNT, "0.1").await.unwrap();
    running.stop().await.unwrap();
}

/// Rules of the policy in force hold for whatever is served: a declaration that has not the columns they are about is not taken up.
#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_cannot_leave_the_policy_behind() {
    let rest = "[[tier]]\nname = \"health\"\ndataset = \"clinic\"\npurposes = [\"care\"]\n";
    let world = governed(&pure(["5", "5"]), "", "", rest);
    let running = world.serve().await;
    let ben = Person::to(&running, BEN).await;
    refused("NOT_PERMITTED", ben.ask(FLU, "0.1").await);
    let declared = std::fs::read_to_string(world.path("clinic.toml")).unwrap();
    std::fs::write(world.path("clinic.toml"), declared.replacen(", tier = \"health\"", "", 1)).unwrap();
    let reloaded = running.reload().await;
    refused("NOT_PERMITTED", ben.ask(FLU, "0.1").await);
    assert!(reloaded.is_err());
    running.stop().await.unwrap();
}

/// Smaller things about proposals: what asks for nothing is none, how many approvals one needs is said as it is now, and who approved may think again.
#[tokio::test(flavor = "multi_thread")]
async fn proposals_say_what_they_need() {
    let world = governed(&pure(["5", "0.5"]), "", "", "");
    let running = world.serve().await;
    let (ben, gina) = (Person::to(&running, BEN).await, Person::to(&running, GINA).await);
    ben.request("1").await.unwrap();
    let rule = "[[tier]]\nname = \"health\"\ndataset = \"clinic\"\nsecond_approver = true\n";
    apply(&world, &format!("{}\n{rule}", policy_file(&world)));
    assert_eq!(gina.proposals(true).await[0].approvals, 2);
    assert_eq!(gina.approve(1).await.unwrap().state, "open");
    assert_eq!(gina.reject(1).await.unwrap().state, "rejected");
    for nothing in ["", "0"] {
        refused("INVALID_REQUEST", ben.request(nothing).await);
    }
    running.stop().await.unwrap();
}

/// Two who approve at the same moment are both counted, whoever of them carries it out.
#[tokio::test(flavor = "multi_thread")]
async fn approvals_at_one_moment_are_all_counted() {
    let rule = "[[tier]]\nname = \"health\"\ndataset = \"clinic\"\nsecond_approver = true\n";
    let world = governed(&pure(["5", "0.5"]), "", "", rule);
    let running = world.serve().await;
    let (ben, gus, gil) =
        (Person::to(&running, BEN).await, Person::to(&running, GUS).await, Person::to(&running, GIL).await);
    for round in 1..=6 {
        let id = ben.request("1").await.unwrap().id;
        let (one, other) = tokio::join!(gus.approve(id), gil.approve(id));
        let states = [one.unwrap().state, other.unwrap().state];
        assert!(states.contains(&"approved".to_owned()), "{states:?}");
        assert_eq!(ben.granted().await, format!("{}.5", round));
    }
    verify(&world);
    running.stop().await.unwrap();
}

/// What is approved is what was shown: for another policy than that in force an approval does not count, and one that names it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_of_the_effect_that_was_shown() {
    let rule = "[[tier]]\nname = \"health\"\ndataset = \"clinic\"\nsecond_approver = true\n";
    let world = governed(&pure(["5", "0.5"]), "", "", rule);
    let running = world.serve().await;
    let (ben, gina) = (Person::to(&running, BEN).await, Person::to(&running, GINA).await);
    let (gus, gil) = (Person::to(&running, GUS).await, Person::to(&running, GIL).await);
    let id = ben.request("1").await.unwrap().id;
    let seen = gina.proposals(true).await[0].effect.clone().unwrap();
    assert!(seen.diff.contains("-epsilon = \"0.5\"") && seen.diff.contains("+epsilon = \"1.5\""), "{}", seen.diff);
    assert_eq!(gina.approve(id).await.unwrap().state, "open");
    apply(&world, &policy_file(&world).replacen("epsilon = \"0.5\"", "epsilon = \"0.5\"\nwindow = \"daily\"", 1));
    let late = proto::DecideRequest { proposal: id, approve: true, reason: "fine".into(), based_on: seen.based_on };
    let e = gus.governance().decide(late).await.unwrap_err();
    assert_eq!(code(&e), "POLICY_CHANGED", "{e}");
    // Gina approved a grant that is there once.
    assert_eq!(gus.approve(id).await.unwrap().state, "open");
    assert_eq!(gil.approve(id).await.unwrap().state, "approved");
    let (version, _) = gina.policy().await;
    assert!(!version.approved_by.contains(&"gina".to_owned()), "{:?}", version.approved_by);
    // Who decides changes in words, too.
    let fewer = gina.policy().await.1.replacen("\"gil\"]", "\"gil\", \"greta\"]", 1);
    let effect = gina.simulate(document(&fewer, &gina.policy().await.0.hash)).await.unwrap();
    assert!(effect.rules.contains(&"'greta' gets role governance".to_owned()), "{:?}", effect.rules);
    // A reason must not look like an approval.
    for reason in ["more\n  approved by gus", "\u{1b}[8m", ""] {
        let wanted =
            proto::DecideRequest { proposal: id, approve: true, reason: reason.into(), based_on: String::new() };
        refused("INVALID_REQUEST", gus.governance().decide(wanted).await);
    }
    running.stop().await.unwrap();
}

/// A file that does not know of what calls made does not take it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_does_not_take_back_what_calls_made() {
    let world = governed(&pure(["5", "0.5"]), "", "", "");
    let running = world.serve().await;
    let (ben, gina) = (Person::to(&running, BEN).await, Person::to(&running, GINA).await);
    let id = ben.request("1").await.unwrap().id;
    gina.approve(id).await.unwrap();
    let (done, said) = world.run(&["policy", "apply", "--config", "undertone.toml", "--reason", "again"]);
    assert!(!done && said.contains("--based-on"), "{said}");
    assert_eq!(ben.granted().await, "1.5");
    running.stop().await.unwrap();
}
