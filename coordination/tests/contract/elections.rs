//! One leads; who led before cannot write any more.

use std::time::Duration;

use coordination::{Error, Keys, Leadership, Session, campaign, decode};
use daemon::Shutdown;
use proto::store::LeaderRecord;

use crate::stand::{Stand, put};

const TTL: Duration = Duration::from_secs(1);

/// A nimbus that wants to lead.
struct Candidate {
    record: LeaderRecord,
    session: Session,
    _shutdown: Shutdown,
}

impl Candidate {
    async fn new(stand: &Stand, id: &str) -> Self {
        let shutdown = Shutdown::new();
        let (store, clock) = (stand.store.clone(), stand.clock.clone());
        let session = Session::open_on(store, TTL, clock, &shutdown).await.unwrap();
        let record = LeaderRecord { nimbus_id: id.to_owned(), ..Default::default() };
        Self { record, session, _shutdown: shutdown }
    }

    async fn campaign(&self, stand: &Stand) -> Leadership {
        let store = stand.store.clone();
        campaign(store, &keys(), self.record.clone(), &self.session).await.expect("it may write")
    }
}

fn keys() -> Keys {
    Keys::new("test").unwrap()
}

async fn leader(stand: &Stand) -> String {
    let entry = stand.get(&keys().leader()).await.expect("somebody leads");
    decode::<LeaderRecord>(&entry).unwrap().nimbus_id
}

pub(crate) async fn one_of_two_candidates_wins(stand: &Stand) {
    let first = Candidate::new(stand, "first").await;
    let second = Candidate::new(stand, "second").await;
    let (winner, leadership) = tokio::select! {
        won = first.campaign(stand) => ("first", won),
        won = second.campaign(stand) => ("second", won),
    };
    assert_eq!(leader(stand).await, winner);
    let entry = stand.get(&leadership.key).await.expect("it leads");
    assert_eq!(entry.created, leadership.created);
    stand.commit(vec![leadership.guard()], vec![put("a", "")]).await.expect("a leader may write");
}

pub(crate) async fn the_next_candidate_takes_over_when_the_lease_ends(stand: &Stand) {
    let first = Candidate::new(stand, "first").await;
    let second = Candidate::new(stand, "second").await;
    let old = first.campaign(stand).await;
    let revoke = async {
        stand.store.revoke(first.session.lease()).await.unwrap();
        old.ended(&*stand.store).await;
    };
    let (new, ()) = tokio::join!(second.campaign(stand), revoke);
    assert!(new.created > old.created);
    assert_eq!(leader(stand).await, "second");
}

pub(crate) async fn the_next_candidate_takes_over_after_a_resignation(stand: &Stand) {
    let first = Candidate::new(stand, "first").await;
    let second = Candidate::new(stand, "second").await;
    let old = first.campaign(stand).await;
    let (new, resigned) = tokio::join!(second.campaign(stand), old.resign(&*stand.store));
    resigned.unwrap();
    old.resign(&*stand.store).await.expect("no longer leading is fine");
    assert_eq!(leader(stand).await, "second");
    stand.commit(vec![new.guard()], vec![]).await.expect("the second resignation took nothing");
}

pub(crate) async fn a_stale_leaders_guarded_write_conflicts(stand: &Stand) {
    let first = Candidate::new(stand, "first").await;
    let second = Candidate::new(stand, "second").await;
    let old = first.campaign(stand).await;
    stand.store.revoke(first.session.lease()).await.unwrap();
    let stale = stand.commit(vec![old.guard()], vec![put("a", "")]).await;
    assert!(matches!(stale, Err(Error::Conflict)), "nobody leads: {stale:?}");

    let new = second.campaign(stand).await;
    let stale = stand.commit(vec![old.guard()], vec![put("a", "")]).await;
    assert!(matches!(stale, Err(Error::Conflict)), "another leads: {stale:?}");
    assert_eq!(stand.get("a").await, None);
    stand.commit(vec![new.guard()], vec![put("a", "")]).await.expect("the new leader may write");
}

pub(crate) async fn a_leadership_outlives_an_outage(stand: &Stand) {
    let first = Candidate::new(stand, "first").await;
    let second = Candidate::new(stand, "second").await;
    let leadership = first.campaign(stand).await;
    let outage = async {
        stand.stop();
        stand.resume().await;
        stand.commit(vec![leadership.guard()], vec![put("a", "")]).await
    };
    tokio::select! {
        biased;
        _ = second.campaign(stand) => panic!("the leader lives"),
        () = leadership.ended(&*stand.store) => panic!("it still leads"),
        written = outage => written.map(drop).expect("it may still write"),
    }
}

pub(crate) async fn a_candidate_does_not_wait_for_its_own_earlier_key(stand: &Stand) {
    let before = Candidate::new(stand, "first").await;
    let old = before.campaign(stand).await;
    let after = Candidate::new(stand, "first").await;
    let new = after.campaign(stand).await;
    assert!(new.created > old.created, "what its earlier life still writes is refused");
}
