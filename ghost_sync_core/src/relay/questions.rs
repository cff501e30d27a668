//! What the host is asked to decide: until when, about what, and what becomes of its answer.

use std::time::Instant;

use super::{
    Relay,
    deadlines::{Due, millis},
    event::{Admission, AskId, ConnId, Output, Question, Verdict},
    plants,
    session::{JoinStage, Session},
};
use crate::{
    identity::Identity,
    wire::{AuthError, CloseReason, Refusal, Token},
};

#[derive(Clone, Copy, Debug)]
pub(super) enum AskTarget {
    Verify(ConnId),
    Connect(ConnId),
    CreateRoom(ConnId),
    Join(ConnId),
    Relay(ConnId),
    SetMetadata(ConnId),
    Greet(ConnId),
}

#[derive(Debug)]
pub(super) struct PendingAsk {
    target: AskTarget,
    deadline: Instant,
}

impl Relay {
    /// Whether the host decides about changes of metadata from here on, as
    /// [`RelayConfig::ask_metadata`](super::HostConfig::ask_metadata) says at first.
    pub fn set_ask_metadata(&mut self, ask: bool) {
        self.config.host.ask_metadata = ask;
    }

    /// Whether the answer to a question still matters: nobody left, nothing timed out.
    pub fn is_asked(&self, ask: AskId) -> bool {
        self.asks.contains_key(&ask)
    }

    /// The link of the new process that a question is about, if it is about one.
    #[cfg(feature = "testing")]
    pub(crate) fn greeter_of(&self, ask: AskId) -> Option<super::LinkId> {
        let target = &self.asks.get(&ask)?.target;
        if let AskTarget::Greet(greeter) = target { self.link_of(*greeter) } else { None }
    }

    pub(super) fn ask(
        &mut self,
        now: Instant,
        target: AskTarget,
        question: Question,
        out: &mut Vec<Output>,
    ) -> AskId {
        let (ask, deadline) = self.await_answer(now, target);
        out.push(Output::Ask { ask, question, deadline });
        ask
    }

    /// Has a client's token verified.
    pub(super) fn ask_for_identity(
        &mut self,
        now: Instant,
        conn: ConnId,
        token: Token,
        out: &mut Vec<Output>,
    ) -> AskId {
        let (ask, _) = self.await_answer(now, AskTarget::Verify(conn));
        let connection = &self.conns[conn];
        let (client_id, addr) = (connection.client_id, connection.addr);
        out.push(Output::Verify { ask, client_id, addr, token });
        ask
    }

    fn await_answer(&mut self, now: Instant, target: AskTarget) -> (AskId, Instant) {
        self.last_ask = self.last_ask.saturating_add(1);
        let ask = AskId(self.last_ask);
        let deadline = now + self.config.ask_timeout;
        self.asks.insert(ask, PendingAsk { target, deadline });
        self.deadlines.add(deadline, Due::Ask(ask));
        (ask, deadline)
    }

    /// Forgets a question whose answer no longer matters.
    pub(super) fn withdraw(&mut self, ask: AskId) {
        if let Some(pending) = self.asks.remove(&ask) {
            self.deadlines.remove(pending.deadline, Due::Ask(ask));
        }
    }

    /// Forgets the questions about what a connection wants.
    pub(super) fn withdraw_all(&mut self, conn: ConnId) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let asked = match connection.session {
            Session::Asking { ask } => Some(ask),
            Session::Greeting { .. }
            | Session::Open
            | Session::Away { .. }
            | Session::Closing { .. } => None,
        };
        connection.first = None;
        let verifying = connection.verifying.take().map(|(_, ask)| ask);
        let joins = connection.joins.drain(..).filter_map(|join| match join.stage {
            JoinStage::CreatingRoom(ask) | JoinStage::Asking { ask, .. } => Some(ask),
            JoinStage::New => None,
        });
        let moderated = connection.moderated.take(|_| true).into_iter().map(|request| request.ask);
        let meta = connection.meta_asked.take(|_| true).into_iter().map(|request| request.ask);
        let restart = connection.restart.take();
        let greetings = restart.iter().flat_map(|restart| restart.asks());
        let asks: Vec<_> = asked
            .into_iter()
            .chain(verifying)
            .chain(joins)
            .chain(moderated)
            .chain(meta)
            .chain(greetings)
            .collect();
        for ask in asks {
            self.withdraw(ask);
        }
    }

    pub(super) fn answer(
        &mut self,
        now: Instant,
        ask: AskId,
        verdict: Verdict,
        out: &mut Vec<Output>,
    ) {
        if let Some(pending) = self.asks.remove(&ask) {
            self.deadlines.remove(pending.deadline, Due::Ask(ask));
            self.decided(now, ask, pending.target, verdict, out);
        }
    }

    /// Takes what was found out about a token.
    pub(super) fn identity_found(
        &mut self,
        now: Instant,
        ask: AskId,
        identity: Result<Identity, AuthError>,
        out: &mut Vec<Output>,
    ) {
        if let Some(pending) = self.asks.remove(&ask) {
            self.deadlines.remove(pending.deadline, Due::Ask(ask));
            if let AskTarget::Verify(conn) = pending.target {
                self.verified(now, conn, identity, out);
            }
        }
    }

    pub(super) fn ask_expired(&mut self, now: Instant, ask: AskId, out: &mut Vec<Output>) {
        if plants::late_answer_counts() {
            return;
        }
        if let Some(pending) = self.asks.remove(&ask) {
            let after_ms = millis(self.config.ask_timeout);
            if plants::timeout_means_yes() {
                return self.decided(now, ask, pending.target, Verdict::Accept, out);
            }
            self.refused(now, ask, pending.target, Refusal::TimedOut { after_ms }, out);
        }
    }

    fn decided(
        &mut self,
        now: Instant,
        ask: AskId,
        target: AskTarget,
        verdict: Verdict,
        out: &mut Vec<Output>,
    ) {
        match (target, verdict) {
            // A token is not for the host's rules to decide about.
            (AskTarget::Verify(conn), _) => self.not_verified(now, conn, out),
            (AskTarget::Greet(conn), Verdict::Admit(Admission { greeting, .. })) => {
                self.greeting_decided(now, conn, ask, greeting, out);
            }
            (_, Verdict::Reject { message }) => {
                self.refused(now, ask, target, Refusal::Rejected { message }, out);
            }
            (AskTarget::Connect(conn), _) => self.open(now, conn, out),
            (AskTarget::CreateRoom(conn), Verdict::CreateRoom { config }) => {
                self.room_decided(now, conn, ask, Ok(config), out);
            }
            (
                AskTarget::CreateRoom(conn),
                Verdict::Accept | Verdict::Admit(_) | Verdict::AcceptAs { .. },
            ) => {
                let config = self.config.room_defaults.clone();
                self.room_decided(now, conn, ask, Ok(config), out);
            }
            (
                AskTarget::Join(conn),
                Verdict::Accept | Verdict::CreateRoom { .. } | Verdict::AcceptAs { .. },
            ) => {
                self.join_decided(now, conn, ask, Ok(Vec::new()), out);
            }
            (AskTarget::Join(conn), Verdict::Admit(Admission { greeting, .. })) => {
                self.join_decided(now, conn, ask, Ok(greeting), out);
            }
            (AskTarget::Relay(conn), Verdict::AcceptAs { payload }) => {
                self.moderated(now, conn, ask, Ok(Some(payload)), out);
            }
            (AskTarget::Relay(conn), _) => self.moderated(now, conn, ask, Ok(None), out),
            (AskTarget::SetMetadata(conn), _) => self.metadata_decided(now, conn, ask, Ok(()), out),
            (
                AskTarget::Greet(conn),
                Verdict::Accept | Verdict::CreateRoom { .. } | Verdict::AcceptAs { .. },
            ) => {
                self.greeting_decided(now, conn, ask, Vec::new(), out);
            }
        }
    }

    fn refused(
        &mut self,
        now: Instant,
        ask: AskId,
        target: AskTarget,
        reason: Refusal,
        out: &mut Vec<Output>,
    ) {
        match target {
            AskTarget::Verify(conn) => self.not_verified(now, conn, out),
            AskTarget::Connect(conn) => {
                let message = reason.to_string();
                self.close(now, conn, CloseReason::ConnectionRefused { message }, out);
            }
            AskTarget::CreateRoom(conn) => self.room_decided(now, conn, ask, Err(reason), out),
            AskTarget::Join(conn) => self.join_decided(now, conn, ask, Err(reason), out),
            AskTarget::Relay(conn) => self.moderated(now, conn, ask, Err(reason), out),
            AskTarget::SetMetadata(conn) => self.metadata_decided(now, conn, ask, Err(reason), out),
            AskTarget::Greet(conn) => self.greeting_decided(now, conn, ask, Vec::new(), out),
        }
    }
}
