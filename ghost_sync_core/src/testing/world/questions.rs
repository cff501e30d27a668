//! The host: what it is asked, and what it answers.

use std::time::Instant;

use bytes::Bytes;

use super::{Cause, Mark, World};
use crate::{
    relay::{AskId, ConnId, Input, LinkId, Question, Verdict},
    testing::oracle::About,
    wire::MessageType,
};

#[derive(Clone, Debug)]
pub(super) struct OpenAsk {
    pub(super) ask: AskId,
    conn: ConnId,
    about: About,
    payload: Option<Bytes>,
    deadline: Instant,
    /// Over which link a new process waits for the answer.
    greeter: Option<LinkId>,
}

impl World {
    pub(super) fn asked(&mut self, ask: AskId, question: Question, deadline: Instant) {
        let greeter = self.relay.greeter_of(ask);
        if let Question::Connect { conn, identity, .. }
        | Question::Join { conn, identity, .. }
        | Question::CreateRoom { conn, identity, .. } = &question
        {
            let link = self.relay.link_of(*conn);
            self.oracle.asked_about(*conn, link, identity.as_ref());
        }
        let (conn, about, payload) = match question {
            Question::Greet { conn, room, .. } => {
                if let Some(link) = greeter {
                    self.greeted.insert(conn, link);
                    self.oracle.asked_how_to_greet(link, conn, room, deadline);
                    if let Some(greeting) = self.relay.conn_on(link) {
                        self.oracle.asking.insert(greeting, link);
                    }
                }
                (conn, About::Greet(room), None)
            }
            Question::Connect { conn, .. } => (conn, About::Connect, None),
            Question::Join { conn, room, .. } => (conn, About::Join(room), None),
            Question::CreateRoom { conn, .. } => (conn, About::CreateRoom, None),
            Question::Relay { conn, message_type, payload, .. } => {
                self.oracle.check_direction(message_type);
                (conn, About::Relay, Some(payload))
            }
            Question::SetMetadata { conn, key, value, .. } => {
                self.oracle.asked_metadata(conn, ask, key, value);
                (conn, About::SetMetadata, None)
            }
        };
        if let Some(payload) = &payload {
            self.oracle.asked(payload);
        }
        if about == About::Connect
            && let Some(link) = self.relay.link_of(conn)
        {
            self.oracle.asking.insert(conn, link);
        }
        self.asks.push(OpenAsk { ask, conn, about, payload, deadline, greeter });
        if self.healed || self.rng.u32(..8) < self.swarm.prompt {
            self.prompt.push(ask);
        }
    }

    /// Answers what the host answers at once.
    pub(super) fn answer_prompt(&mut self) {
        let tokens_first = !self.prompt_tokens.is_empty() && self.rng.bool();
        while let Some(ask) = self.prompt_tokens.pop_if(|_| tokens_first) {
            self.verify(ask);
        }
        while let Some(ask) = self.prompt.pop() {
            self.answer(ask);
        }
        while let Some(ask) = self.prompt_tokens.pop() {
            self.verify(ask);
        }
    }

    pub(super) fn answer(&mut self, ask: AskId) {
        let Some(at) = self.asks.iter().position(|open| open.ask == ask) else { return };
        let OpenAsk { conn, about, payload, deadline, greeter, .. } = self.asks.remove(at);
        let asked = self.relay.is_asked(ask);
        if asked && deadline < self.now {
            self.oracle.fail("I19", format!("{ask:?} waits after its deadline"));
        }
        let draw = if self.healed { 0 } else { self.rng.u32(..16) };
        let first = self.words;
        let verdict = match draw {
            0..9 => Verdict::Accept,
            9..12 => {
                let mut words = Vec::new();
                for _ in 0..self.rng.u32(1..3) {
                    words.push((MessageType::RAW, self.say(about.room(), 16).into()));
                }
                Verdict::greet(words)
            }
            _ => Verdict::reject("no"),
        };
        let accepted = draw < 12;
        if asked {
            if let Some(payload) = payload {
                self.oracle.judged(&payload, accepted);
            }
            if about == About::SetMetadata && accepted {
                self.oracle.accepted_metadata(conn, ask);
            }
        } else {
            self.oracle.mark(Mark::LateAnswer);
        }
        let words = first..self.words;
        if let (true, Some(link), About::Greet(room)) = (asked, greeter, about) {
            self.oracle.greets(link, room, words.clone());
        }
        let cause = Cause::Answer { conn, about, accepted: accepted && asked, words };
        self.oracle.outcomes = 0;
        let mut outputs = 0;
        self.act(&cause, |relay, now, out| {
            relay.handle(now, Input::Answer { ask, verdict }, out);
            outputs = out.len();
        });
        let due = usize::from(asked && accepted && matches!(about, About::Join(_)));
        if self.oracle.outcomes != due && matches!(about, About::Join(_)) {
            let seen = format!("{} outcomes of a join, {due} due", self.oracle.outcomes);
            self.oracle.fail("I19", seen);
        }
        if !asked && outputs > 0 {
            self.oracle.fail("I19", "an answer that comes too late changes something");
        }
    }
}

impl About {
    fn room(self) -> crate::wire::RoomId {
        match self {
            Self::Join(room) | Self::Greet(room) => room,
            Self::Connect | Self::CreateRoom | Self::Relay | Self::SetMetadata => {
                Default::default()
            }
        }
    }
}
