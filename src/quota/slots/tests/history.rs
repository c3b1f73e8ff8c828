//! Histories of what servers asked a table, for a checker of linearizability (`todc-utils`, the algorithm of Wing, Gong and Lowe).
//!
//! An operation begins when a request is sent, and ends when its answer arrives. The table says at which time of its clock it answered;
//! that is a part of the answer, and operations are only in order if these times are.

use parking_lot::Mutex;
use todc_utils::{
    linearizability::{
        WGLChecker,
        history::{Action, History},
    },
    specifications::Specification,
};

use super::super::{
    specification::{Ledger, Rules},
    table::{Answer, Reply, Request, ServerId},
};

/// An operation on the table.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Renew {
        server: ServerId,
        request: Request,
        reply: Option<Reply>,
    },
    /// It forgets everything.
    Empty,
}

/// The table as the checker knows it.
#[derive(Debug)]
struct Shares;

/// The ledger of one resource, and the time of the last answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    ledger: Ledger,
    at: u64,
}

impl Specification for Shares {
    type State = State;
    type Operation = Operation;

    fn init() -> State {
        State::default()
    }

    fn apply(operation: &Operation, state: &State) -> (bool, State) {
        match operation {
            Operation::Empty => (true, State { ledger: Ledger::default(), at: state.at }),
            Operation::Renew { server, request, reply: Some(reply) } if state.at <= reply.at => {
                let mut next = State { at: reply.at, ..state.clone() };
                let expected = next.ledger.renew(reply.at, *server, request, Rules::default());
                if expected == *reply { (true, next) } else { (false, state.clone()) }
            }
            Operation::Renew { .. } => (false, state.clone()),
        }
    }
}

/// What the checker says.
pub(super) fn is_linearizable(actions: Vec<(usize, Action<Operation>)>) -> bool {
    WGLChecker::<Shares>::is_linearizable(History::from_actions(actions))
}

#[derive(Debug)]
struct Sent {
    server: ServerId,
    requests: Vec<Request>,
    answers: Option<Vec<Answer>>,
    /// The answer has arrived.
    is_answered: bool,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Sent(usize),
    Processed(usize),
    Answered(usize),
    Emptied,
}

/// Writes a history down. Each message is an operation, also one that arrives twice.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    state: Mutex<(Vec<Sent>, Vec<Event>)>,
}

impl Recorder {
    /// Returns the number of the message.
    pub(super) fn sent(&self, server: ServerId, requests: &[Request]) -> usize {
        let (sent, events) = &mut *self.state.lock();
        sent.push(Sent { server, requests: requests.to_vec(), answers: None, is_answered: false });
        events.push(Event::Sent(sent.len() - 1));
        sent.len() - 1
    }

    pub(super) fn processed(&self, message: usize, answers: &[Answer]) {
        let (sent, events) = &mut *self.state.lock();
        sent[message].answers = Some(answers.to_vec());
        events.push(Event::Processed(message));
    }

    pub(super) fn answered(&self, message: usize) {
        let (sent, events) = &mut *self.state.lock();
        sent[message].is_answered = true;
        events.push(Event::Answered(message));
    }

    pub(super) fn emptied(&self) {
        self.state.lock().1.push(Event::Emptied);
    }

    /// The history of a resource. What was processed without an answer that arrived ends when it was processed, because the checker is
    /// slow with many operations that do not end; what was not processed is left out.
    pub(super) fn history(&self, resource: &str) -> Vec<(usize, Action<Operation>)> {
        let (sent, events) = &*self.state.lock();
        let operation = |message: usize, ends: bool| {
            let Sent { server, requests, answers, .. } = &sent[message];
            let at = requests.iter().position(|request| request.resource.as_ref() == resource)?;
            let reply = answers.as_ref()?[at].filter(|_| ends);
            Some(Operation::Renew { server: *server, request: requests[at].clone(), reply })
        };
        let mut actions = Vec::new();
        for event in events {
            match *event {
                Event::Sent(message) => {
                    actions.extend(operation(message, false).map(|operation| (message, Action::Call(operation))));
                }
                Event::Processed(message) if sent[message].is_answered => {}
                Event::Processed(message) | Event::Answered(message) => {
                    actions.extend(operation(message, true).map(|operation| (message, Action::Response(operation))));
                }
                Event::Emptied => {
                    actions.push((sent.len(), Action::Call(Operation::Empty)));
                    actions.push((sent.len(), Action::Response(Operation::Empty)));
                }
            }
        }
        actions
    }
}
