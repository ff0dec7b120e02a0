//! The dead letters of a topology: its supervisors keep them, so they are asked, all at once, and
//! what they say is put together. One that does not answer is named. Who keeps what is for the
//! supervisors to say, so a standby serves this too.

use std::collections::BTreeMap;
use std::future::Future;

use daemon::grpc::CALL_TIMEOUT;
use daemon::listen::Security;
use futures::future::join_all;
use proto::nimbus::dead_letters_request::Verb;
use proto::nimbus::{DeadLettersReply, DeadLettersRequest};
use proto::supervisor::supervisor_client::SupervisorClient;
use proto::supervisor::{LettersDone, LettersPage, LettersRequest, ReplayRequest, SpoutPlace};
use tonic::transport::Channel;
use tonic::{Response, Status};
use topology_api::runtime::did_you_mean;

use crate::daemon::Handle;
use crate::engine::Engine;
use crate::engine::command::{Refusal, RefusalKind};

/// Letters in a list if nobody says how many, and at most.
const PAGE: u32 = 100;
const PAGE_MAX: u32 = 1000;

/// What a list of letters may take.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// What the engine knows that it takes to ask.
struct Known {
    /// Id of the topology.
    topology: String,
    /// Where supervisors are, by their ids.
    supervisors: BTreeMap<String, String>,
    /// Where its spouts run.
    places: Vec<SpoutPlace>,
    /// Supervisors that are lost, and how many letters they had when they were last heard of.
    lost: BTreeMap<String, u64>,
}

/// What is asked of one supervisor.
struct Question {
    supervisor: String,
    address: String,
    request: LettersRequest,
}

/// Asks the supervisors of the cluster for the letters of a topology.
pub(crate) async fn dead_letters(
    handle: &Handle,
    request: DeadLettersRequest,
) -> Result<DeadLettersReply, Refusal> {
    if request.verb() != Verb::List && request.all != request.ids.is_empty() {
        let fix = "give ids of letters, or say that all are meant";
        return Err(invalid(&request.name, "it is not clear which letters are meant", fix));
    }
    let name = request.name.clone();
    let known = handle.look(move |engine, _| known(engine, &name)).await??;
    let mut reply = DeadLettersReply::default();
    let questions = questions(&known, &request, &mut reply)?;
    for (supervisor, count) in &known.lost {
        let why = format!("it is lost; it had {count} letters when it was last heard of");
        reply.away.insert(supervisor.clone(), why);
    }
    let security = handle.security();
    match request.verb() {
        Verb::Unspecified => {
            let fix = "use a squall of the same version as the cluster";
            return Err(invalid(&request.name, "it does not say what to do with them", fix));
        }
        Verb::List => {
            let max = page(request.max);
            let list = async |mut client: Client, request| client.list_letters(request).await;
            list_all(ask(questions, security, list).await, max, &mut reply);
        }
        Verb::Drop => {
            let discard = async |mut client: Client, request| client.drop_letters(request).await;
            count_all(ask(questions, security, discard).await, &mut reply);
        }
        Verb::Replay => {
            let places = &known.places;
            let replay = async |mut client: Client, letters| {
                let places = places.clone();
                client.replay_letters(ReplayRequest { letters: Some(letters), places }).await
            };
            count_all(ask(questions, security, replay).await, &mut reply);
        }
    }
    Ok(reply)
}

fn known(engine: &Engine, name: &str) -> Result<Known, Refusal> {
    let topology = &engine.topology("see the dead letters of", name)?.record;
    let supervisors = engine.supervisors();
    let known = supervisors.iter().map(|(id, record)| (id.clone(), record.address.clone()));
    let in_force = engine.view().in_force(&topology.id);
    let places = in_force.flat_map(|held| {
        let record = &held.record;
        let address = supervisors.get(&record.supervisor).map(|it| it.address.clone());
        record.executors.iter().map(move |executor| SpoutPlace {
            component: executor.component.clone(),
            worker: record.worker,
            supervisor: record.supervisor.clone(),
            address: address.clone().unwrap_or_default(),
        })
    });
    let spec = topology.spec.as_ref();
    let is_spout = |place: &SpoutPlace| {
        let mut components = spec.iter().flat_map(|spec| &spec.components);
        components.any(|component| component.spout && component.name == place.component)
    };
    let places = places.filter(is_spout).collect();
    let told = engine.reports().supervisors.iter().filter(|(id, _)| !supervisors.contains_key(*id));
    let lost = told.filter_map(|(id, latest)| {
        let mut letters = latest.report.letters.iter().filter(|it| it.topology == topology.id);
        Some((id.clone(), letters.next()?.by_component.values().sum()))
    });
    let (topology, supervisors) = (topology.id.clone(), known.collect());
    Ok(Known { topology, supervisors, places, lost: lost.collect() })
}

/// Says what to ask of whom; what nobody can be asked for is refused.
fn questions(
    known: &Known,
    request: &DeadLettersRequest,
    reply: &mut DeadLettersReply,
) -> Result<Vec<Question>, Refusal> {
    let after = match request.after.as_str() {
        "" => ("", 0),
        after => id(after).ok_or_else(|| {
            let why = format!("`{after}` is no id of a letter");
            invalid(&request.name, why, "ids look like machine-1.17")
        })?,
    };
    let mut numbers: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for text in &request.ids {
        match id(text) {
            Some((supervisor, number)) if known.supervisors.contains_key(supervisor) => {
                numbers.entry(supervisor).or_default().push(number);
            }
            Some((supervisor, _)) => {
                let hint = did_you_mean(supervisor, known.supervisors.keys().map(String::as_str));
                let why = format!("there is no supervisor `{supervisor}` now{hint}");
                reply.refused.insert(text.clone(), why);
            }
            None => {
                let why = "this is no id of a letter: they look like machine-1.17".to_owned();
                reply.refused.insert(text.clone(), why);
            }
        }
    }
    let mut numbers_of = |supervisor: &str| numbers.remove(supervisor);
    let question = |(supervisor, address): (&String, &String)| {
        let numbers = numbers_of(supervisor);
        let is_asked = request.ids.is_empty() || numbers.is_some();
        (is_asked && supervisor.as_str() >= after.0).then(|| Question {
            supervisor: supervisor.clone(),
            address: address.clone(),
            request: LettersRequest {
                topology: known.topology.clone(),
                numbers: numbers.unwrap_or_default(),
                after: if supervisor == after.0 { after.1 } else { 0 },
                max: page(request.max),
            },
        })
    };
    Ok(known.supervisors.iter().filter_map(question).collect())
}

type Client = SupervisorClient<Channel>;

/// What each supervisor answers, or why it does not.
type Answers<T> = Vec<(String, Result<T, String>)>;

/// Asks all of them at once.
async fn ask<T, F>(
    questions: Vec<Question>,
    security: &Security,
    call: impl Fn(Client, LettersRequest) -> F,
) -> Answers<T>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let ask = async |Question { supervisor, address, request }: Question| {
        let answer = async {
            let client = connect(&address, security).await?;
            let answer = call(client, request).await;
            answer.map(Response::into_inner).map_err(|status| status.message().to_owned())
        };
        let answer = tokio::time::timeout(CALL_TIMEOUT, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("{address} does not answer")));
        (supervisor, answer)
    };
    join_all(questions.into_iter().map(ask)).await
}

async fn connect(address: &str, security: &Security) -> Result<Client, String> {
    let endpoint = daemon::grpc::endpoint(address).map_err(|error| error.to_string())?;
    let channel = daemon::grpc::connect(endpoint, security).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("{address} cannot be reached: {}", cause.unwrap_or_else(|| error.to_string()))
    })?;
    Ok(SupervisorClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// Puts lists together: by supervisor, and no more than so many letters.
fn list_all(answers: Answers<LettersPage>, max: u32, reply: &mut DeadLettersReply) {
    let room = usize::try_from(max).unwrap_or(usize::MAX);
    for (supervisor, answer) in answers {
        match answer {
            Ok(mut page) => {
                let left = room - reply.letters.len();
                reply.more |= page.more || page.letters.len() > left;
                page.letters.truncate(left);
                reply.letters.append(&mut page.letters);
            }
            Err(why) => drop(reply.away.insert(supervisor, why)),
        }
    }
}

/// Puts together what was done.
fn count_all(answers: Answers<LettersDone>, reply: &mut DeadLettersReply) {
    for (supervisor, answer) in answers {
        match answer {
            Ok(done) => {
                reply.done += done.done;
                let id = |(number, why)| (format!("{supervisor}.{number}"), why);
                reply.refused.extend(done.refused.into_iter().map(id));
            }
            Err(why) => drop(reply.away.insert(supervisor, why)),
        }
    }
}

/// Reads the id of a letter: its supervisor and its number there.
fn id(text: &str) -> Option<(&str, u64)> {
    let (supervisor, number) = text.rsplit_once('.')?;
    Some((supervisor, number.parse().ok()?))
}

fn page(asked: u32) -> u32 {
    if asked == 0 { PAGE } else { asked.min(PAGE_MAX) }
}

fn invalid(name: &str, why: impl Into<String>, fix: &str) -> Refusal {
    let what = format!("failed to see the dead letters of `{name}`");
    Refusal::new(RefusalKind::Invalid, what, why.into(), fix)
}

#[cfg(test)]
mod tests {
    use proto::supervisor::DeadLetter;

    use super::*;

    fn known() -> Known {
        let supervisors = ["a-1", "b.c-2"].map(|id| (id.to_owned(), "127.0.0.1:1".to_owned()));
        let topology = "t-1".to_owned();
        let (places, lost) = (Vec::new(), BTreeMap::new());
        Known { topology, supervisors: supervisors.into(), places, lost }
    }

    fn asked(request: &DeadLettersRequest) -> (Vec<(String, LettersRequest)>, DeadLettersReply) {
        let mut reply = DeadLettersReply::default();
        let questions = questions(&known(), request, &mut reply).unwrap();
        (questions.into_iter().map(|it| (it.supervisor, it.request)).collect(), reply)
    }

    #[test]
    fn letters_are_asked_of_who_keeps_them() {
        let ids = ["a-1.7", "b.c-2.9", "a-1.8", "a-2.1", "nonsense"].map(str::to_owned).into();
        let (questions, reply) = asked(&DeadLettersRequest { ids, ..Default::default() });
        let numbers: Vec<_> = questions.into_iter().map(|(id, it)| (id, it.numbers)).collect();
        assert_eq!(numbers, [("a-1".to_owned(), vec![7, 8]), ("b.c-2".to_owned(), vec![9])]);
        assert!(reply.refused["a-2.1"].contains("did you mean `a-1`?"), "{reply:?}");
        assert!(reply.refused["nonsense"].contains("machine-1.17"), "{reply:?}");
    }

    #[test]
    fn a_page_begins_behind_the_last_one() {
        let after = "b.c-2.9".to_owned();
        let request = DeadLettersRequest { after, max: 5, ..Default::default() };
        let (questions, _) = asked(&request);
        assert_eq!((questions.len(), questions[0].1.after, questions[0].1.max), (1, 9, 5));
        let request = DeadLettersRequest { after: "b".to_owned(), ..Default::default() };
        let refused = questions_of(&request);
        assert!(refused.is_err(), "no id of a letter");
    }

    fn questions_of(request: &DeadLettersRequest) -> Result<Vec<Question>, Refusal> {
        questions(&known(), request, &mut DeadLettersReply::default())
    }

    #[test]
    fn lists_are_put_together_in_order_and_who_is_away_is_named() {
        let page = |numbers: &[u64]| LettersPage {
            letters: numbers
                .iter()
                .map(|number| DeadLetter { number: *number, ..DeadLetter::default() })
                .collect(),
            more: false,
        };
        let answers = vec![
            ("a".to_owned(), Ok(page(&[1, 2]))),
            ("b".to_owned(), Err("it is off".to_owned())),
            ("c".to_owned(), Ok(page(&[1, 5]))),
        ];
        let mut reply = DeadLettersReply::default();
        list_all(answers, 3, &mut reply);
        let numbers: Vec<u64> = reply.letters.iter().map(|letter| letter.number).collect();
        assert_eq!((numbers, reply.more), (vec![1, 2, 1], true));
        assert_eq!(reply.away["b"], "it is off");
    }
}
