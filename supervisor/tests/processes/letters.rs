//! Dead letters that a worker hands over, through the deaths of all who have to do with them.

use proto::supervisor::letter_settled::Outcome;
use proto::supervisor::supervisor_client::SupervisorClient;
use proto::supervisor::{
    DeadLetter, LettersRequest, ReplayHereRequest, ReplayLetter, ReplayRequest, SpoutPlace,
};
use tonic::transport::Channel;

use crate::machine::{self, Machine, Supervisor, TOPOLOGY, until};

type Client = SupervisorClient<Channel>;

fn all() -> LettersRequest {
    LettersRequest { topology: TOPOLOGY.to_owned(), ..LettersRequest::default() }
}

async fn list(client: &mut Client) -> Vec<DeadLetter> {
    client.list_letters(all()).await.unwrap().into_inner().letters
}

async fn until_listed(supervisor: &Supervisor, count: usize) -> Vec<DeadLetter> {
    let mut client = supervisor.client().await;
    let mut listed = Vec::new();
    until("so many letters are listed", async || {
        listed = list(&mut client).await;
        listed.len() == count
    })
    .await;
    listed
}

fn places(supervisor: &Supervisor) -> Vec<SpoutPlace> {
    vec![SpoutPlace {
        component: "orders".to_owned(),
        worker: 0,
        supervisor: supervisor.id.clone(),
        address: String::new(),
    }]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_outlives_its_supervisor_is_kept_once_and_goes_when_its_replay_is_acked() {
    let machine = Machine::new().await;
    machine.configure("letters");
    let supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let worker = machine.running().await;
    let first = until_listed(&supervisor, 1).await.remove(0);
    assert_eq!((first.number, first.worker, first.epoch), (1, 0, worker.epoch), "{first:?}");
    machine.letters_reported(|told| told.is_some_and(|it| it.by_component["orders"] == 1)).await;
    supervisor.die();

    let supervisor = machine.supervise().await;
    let kept = r#"told letter 1 kept: """#;
    until("it was handed over again", async || supervisor.log().await.matches(kept).count() == 2)
        .await;
    let listed = until_listed(&supervisor, 1).await;
    assert_eq!((&listed[0], listed[0].row.len()), (&first, 0), "kept once, listed without its row");

    machine::kill(worker.pid);
    let second = until_listed(&supervisor, 2).await.remove(1);
    assert!(second.epoch.unwrap().restarts > 0, "the next incarnation's first letter: {second:?}");

    let mut client = supervisor.client().await;
    let request = ReplayRequest { letters: Some(all()), places: places(&supervisor) };
    until("both are replayed and gone", async || {
        // Its worker may not have dialled yet: then the letter stays, and is asked for again.
        client.replay_letters(request.clone()).await.unwrap();
        list(&mut client).await.is_empty()
    })
    .await;
    let log = supervisor.log().await;
    for number in [1, 2] {
        let told = format!("told replay {}.{number} of [7]", supervisor.id);
        assert_eq!(log.matches(&told).count(), 1, "{told}: {log}");
    }
    machine.letters_reported(|told| told.is_some_and(|it| it.by_component.is_empty())).await;
    let mut supervisor = supervisor;
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_dropped_by_number_and_go_with_their_topology() {
    let machine = Machine::new().await;
    machine.configure("letters");
    let mut supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let worker = machine.running().await;
    until_listed(&supervisor, 1).await;
    machine::kill(worker.pid);
    until_listed(&supervisor, 2).await;

    let mut client = supervisor.client().await;
    let request = LettersRequest { numbers: vec![1, 7], ..all() };
    let done = client.drop_letters(request).await.unwrap().into_inner();
    assert_eq!(done.done, 1, "{done:?}");
    assert_eq!(done.refused.into_keys().collect::<Vec<_>>(), [7]);
    assert_eq!(until_listed(&supervisor, 1).await[0].number, 2);

    machine.unassign().await;
    until("the worker is gone", async || !machine.has_folders()).await;
    assert_eq!(until_listed(&supervisor, 1).await[0].number, 2, "letters stay without a worker");
    machine.forget().await;
    until("the file is gone", async || machine.letters() == 0).await;
    machine.letters_reported(|told| told.is_none()).await;
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_replay_cannot_end_stays_and_can_be_replayed_again() {
    let machine = Machine::new().await;
    machine.configure("letters, holds replays");
    let mut supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let worker = machine.running().await;
    until_listed(&supervisor, 1).await;
    let mut client = supervisor.client().await;
    let request = ReplayRequest { letters: Some(all()), places: places(&supervisor) };
    let done = client.replay_letters(request.clone()).await.unwrap().into_inner();
    assert_eq!(done.done, 1);
    assert!(list(&mut client).await[0].replaying, "it is under way");
    let named = LettersRequest { numbers: vec![1], ..all() };
    let named = ReplayRequest { letters: Some(named), ..request };
    let done = client.replay_letters(named).await.unwrap().into_inner();
    assert!(done.refused[&1].contains("already"), "{done:?}");
    let done = client.drop_letters(all()).await.unwrap().into_inner();
    assert!(done.refused[&1].contains("being replayed"), "{done:?}");
    machine::kill(worker.pid);
    until("the mark is taken off", async || {
        list(&mut client).await.iter().all(|letter| !letter.replaying)
    })
    .await;

    let letter = ReplayLetter { letter: "elsewhere.1".to_owned(), ..ReplayLetter::default() };
    let (topology, worker) = (TOPOLOGY.to_owned(), 9);
    let request = ReplayHereRequest { topology, worker, letter: Some(letter) };
    let settled = client.replay_here(request).await.unwrap().into_inner();
    assert!(matches!(settled.outcome, Some(Outcome::GivenUp(_))), "{settled:?}");
    supervisor.stop().await;
}
