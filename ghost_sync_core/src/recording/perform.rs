//! Does again, on a real server, what players did in a recording.

mod actor;

use std::{
    collections::BTreeMap,
    future::poll_fn,
    io,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    client::{Client, ClientBuilder, ClientSender, ConnectError, SendError, SendOptions},
    wire::{
        DisconnectReason, LeaveReason, MemberInfo, Refusal, RoomName, Seat, SendFlags,
        ServerMessage,
    },
};

use super::{EntryKind, Recording, Speed, state::event};
use actor::Actor;

/// How a recording is performed; the default is all of it, in the room of the
/// same name, in its order, as fast as it happened.
#[derive(Clone, Debug)]
pub struct PerformOptions {
    /// How fast.
    pub speed: Speed,
    /// Whether the server has to have every message before the next player
    /// speaks, so that it puts them in the same order. Otherwise only what one
    /// player does is in order.
    pub in_order: bool,
    /// The first event, by its place in the room's order: whoever was there before
    /// joins at once. Less than the first is the first.
    pub from: u64,
    /// The room; `None` for the one of the same name.
    pub room: Option<RoomName>,
    /// What joins bring for the server's rules. What they brought then is not recorded.
    pub join_data: Bytes,
    /// How players connect; the metadata that was recorded is added.
    pub client: ClientBuilder,
}

/// What became of a recording that was performed.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Performance {
    /// Joins, leaves, messages and changes of metadata that were done again.
    pub performed: u64,
    /// Events that players did not cause, or that were not recorded: it is the
    /// server's turn to do those again.
    pub left_out: u64,
    /// What could not be done, and why.
    pub not_performed: Vec<NotPerformed>,
    /// Players that are still there, by their recorded seats. They leave when
    /// they are dropped.
    pub players: Vec<(Seat, Client)>,
}

/// Something that a player did in a recording, but could not do again.
#[derive(Debug, thiserror::Error)]
#[error("event {seq} of seat {}: {why}", seat.0)]
pub struct NotPerformed {
    /// The place of the event in the recording; for those who were there in the
    /// beginning, the place before the first.
    pub seq: u64,
    /// The recorded seat.
    pub seat: Seat,
    /// Why.
    #[source]
    pub why: WhyNot,
}

/// Why a player could not do again what it did.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WhyNot {
    /// The server said no.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// It could not even connect.
    #[error("not connected: {0}")]
    NotConnected(ConnectError),
    /// Its connection had ended.
    #[error("disconnected: {0}")]
    Disconnected(DisconnectReason),
    /// It was not in the room: not let in, or put out.
    #[error("not in the room")]
    NotInRoom,
    /// It could not be asked for.
    #[error("not sent: {0}")]
    NotSent(SendError),
    /// The server did not answer within ten seconds.
    #[error("no answer")]
    NoAnswer,
}

impl Recording {
    /// Does again on a server what players did: one client for each recorded
    /// seat joins, speaks and leaves as its player did. `connector` leads to the
    /// server, such as `|| std::future::ready(Ok(handle.connect_local()))`.
    ///
    /// Payloads, types and deliveries are the same; ids are new. What the server
    /// itself said and did is left out, and so is what was said to the server
    /// alone, which is not in the room's log. Players whose connections were lost
    /// leave when they left; their absences are left out.
    pub async fn perform<C, F, S>(&self, connector: C, options: PerformOptions) -> Performance
    where
        C: FnMut() -> F,
        F: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let PerformOptions { speed, in_order, from, room, join_data, client } = options;
        let (state, next) = self.seek(from);
        let room = room.unwrap_or_else(|| self.room().clone());
        let mut stage = Stage {
            connector,
            client,
            room,
            join_data,
            in_order,
            actors: BTreeMap::new(),
            done: 0,
            undone: 0,
            performance: Performance::default(),
        };
        let start = Instant::now();
        for member in state.members() {
            let done = stage.join(member.clone()).await;
            stage.note(state.seq(), member.seat, done);
        }
        let entries = &self.contents.entries[next..];
        let began = entries.first().filter(|_| next > 0).map_or(0, |entry| entry.at);
        for entry in entries {
            let due = start + speed.span(entry.at - began);
            stage.while_hearing(sleep_until(due)).await;
            match &entry.kind {
                EntryKind::Event(frame) => stage.perform(entry.first, frame).await,
                EntryKind::Gap(gap) => {
                    for (seq, frame) in (entry.first..).zip(&gap.bridge) {
                        stage.perform(seq, frame).await;
                    }
                    let lost = entry.last + 1 - entry.first - gap.bridge.len() as u64;
                    stage.performance.left_out += lost;
                }
            }
        }
        stage.finish().await
    }
}

/// The players, and what they are told.
struct Stage<C> {
    connector: C,
    client: ClientBuilder,
    room: RoomName,
    join_data: Bytes,
    in_order: bool,
    actors: BTreeMap<Seat, Actor>,
    /// What was done, and how much of that the server refused afterwards.
    done: u64,
    undone: u64,
    performance: Performance,
}

impl<C, F, S> Stage<C>
where
    C: FnMut() -> F,
    F: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    async fn perform(&mut self, seq: u64, frame: &Bytes) {
        let Some(message) = event(frame) else { return };
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is the server's")]
        let (seat, done) = match message {
            ServerMessage::PlayerJoined { member, .. } => (member.seat, self.join(member).await),
            ServerMessage::PlayerLeft { seat, reason, .. } => {
                (seat, self.leave(seat, &reason).await)
            }
            ServerMessage::PlayerMetadata { seat, key, value, .. } => {
                (seat, self.change_metadata(seq, seat, key, value).await)
            }
            ServerMessage::Broadcast { sender, delivery, message_type, payload, .. }
                if sender != Seat::SERVER =>
            {
                let (room, flags) = (Some(self.room.clone()), SendFlags::ACK);
                let options = SendOptions { room, delivery, flags, message_type };
                (sender, self.say(seq, sender, payload, options).await)
            }
            _ => {
                self.performance.left_out += 1;
                return;
            }
        };
        self.note(seq, seat, done);
    }

    async fn join(&mut self, member: MemberInfo) -> Result<(), WhyNot> {
        let dial = timeout(PATIENCE, (self.connector)());
        let stream = self
            .while_hearing(dial)
            .await
            .map_err(|_| WhyNot::NoAnswer)?
            .map_err(|error| WhyNot::NotConnected(ConnectError::from_io(error)))?;
        let meta = member.meta.into_iter();
        let builder =
            meta.fold(self.client.clone(), |builder, (key, value)| builder.metadata(key, value));
        let connecting = self.while_hearing(builder.connect_over(stream));
        let client = connecting.await.map_err(WhyNot::NotConnected)?;
        let sender = client.sender().clone();
        self.actors.insert(member.seat, Actor::new(client));
        let (room, data) = (self.room.clone(), self.join_data.clone());
        let joining = self.while_hearing(sender.join_with(room, data)).await;
        let done = match joining {
            Ok(()) => self.answered(member.seat).await,
            Err(error) => Err(WhyNot::NotSent(error)),
        };
        if done.is_err() {
            self.actors.remove(&member.seat);
        }
        done
    }

    async fn leave(&mut self, seat: Seat, reason: &LeaveReason) -> Result<(), WhyNot> {
        let sender = self.sender(seat)?;
        let asked = matches!(reason, LeaveReason::Left | LeaveReason::Moved);
        let mut done = Ok(());
        self.settle(seat).await;
        if asked {
            let leaving = sender.leave_room(self.room.clone());
            done = self.while_hearing(leaving).await.map_err(WhyNot::NotSent);
            if done.is_ok() {
                done = self.answered(seat).await;
            }
        }
        self.actors.remove(&seat);
        // The server has taken it out when it closes its side.
        self.while_hearing(sender.disconnect()).await;
        done
    }

    async fn say(
        &mut self,
        seq: u64,
        seat: Seat,
        payload: &[u8],
        options: SendOptions,
    ) -> Result<(), WhyNot> {
        let sender = self.sender(seat)?;
        let speaking = sender.broadcast_with(payload, options);
        let reference = self.while_hearing(speaking).await.map_err(WhyNot::NotSent)?;
        if let Some(actor) = self.actors.get_mut(&seat) {
            actor.said.push_back((reference, seq));
        }
        if self.in_order {
            self.settle(seat).await;
        }
        Ok(())
    }

    async fn change_metadata(
        &mut self,
        seq: u64,
        seat: Seat,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), WhyNot> {
        let sender = self.sender(seat)?;
        let changing = async {
            match value {
                Some(value) => sender.set_metadata(key, value).await,
                None => sender.remove_metadata(key).await,
            }
        };
        self.while_hearing(changing).await.map_err(WhyNot::NotSent)?;
        if let Some(actor) = self.actors.get_mut(&seat) {
            actor.changes.push_back(seq);
        }
        if self.in_order {
            self.settle(seat).await;
        }
        Ok(())
    }

    /// Waits for what is still unanswered, and says how it went.
    async fn finish(mut self) -> Performance {
        let seats: Vec<_> = self.actors.keys().copied().collect();
        for seat in seats {
            self.settle(seat).await;
        }
        self.performance.performed = self.done - self.undone;
        self.performance.not_performed.sort_by_key(|event| event.seq);
        let here = self.actors.into_iter().filter(|(_, actor)| actor.seat.is_some());
        self.performance.players = here.map(|(seat, actor)| (seat, actor.client)).collect();
        self.performance
    }

    /// The way to ask for something, for a player that is in the room.
    fn sender(&self, seat: Seat) -> Result<ClientSender, WhyNot> {
        let actor = self.actors.get(&seat).ok_or(WhyNot::NotInRoom)?;
        match (&actor.ended, actor.seat) {
            (Some(reason), _) => Err(WhyNot::Disconnected(reason.clone())),
            (None, None) => Err(WhyNot::NotInRoom),
            (None, Some(_)) => Ok(actor.client.sender().clone()),
        }
    }

    /// Waits for the answer to a join or a leave.
    async fn answered(&mut self, seat: Seat) -> Result<(), WhyNot> {
        let answer = self.wait(seat, |actor| actor.answer.take()).await?;
        answer.map_err(WhyNot::Refused)
    }

    /// Waits until everything that a player said was answered, and notes what
    /// was refused.
    async fn settle(&mut self, seat: Seat) {
        let is_settled = |actor: &mut Actor| actor.said.is_empty() && actor.changes.is_empty();
        let waited = self.wait(seat, |actor| is_settled(actor).then_some(())).await;
        let Some(actor) = self.actors.get_mut(&seat) else { return };
        let refused = std::mem::take(&mut actor.refused).into_iter();
        let mut undone: Vec<_> =
            refused.map(|(seq, reason)| (seq, WhyNot::Refused(reason))).collect();
        if let Err(why) = waited {
            let unanswered =
                actor.said.drain(..).map(|(_, seq)| seq).chain(actor.changes.drain(..));
            undone.extend(unanswered.map(|seq| (seq, why.clone())));
        }
        self.undone += undone.len() as u64;
        for (seq, why) in undone {
            self.note(seq, seat, Err(why));
        }
    }

    async fn wait<T>(
        &mut self,
        seat: Seat,
        mut done: impl FnMut(&mut Actor) -> Option<T>,
    ) -> Result<T, WhyNot> {
        let waiting = poll_fn(|cx| {
            self.hear(cx);
            let Some(actor) = self.actors.get_mut(&seat) else {
                return Poll::Ready(Err(WhyNot::NotInRoom));
            };
            match (done(actor), &actor.ended) {
                (Some(done), _) => Poll::Ready(Ok(done)),
                (None, Some(reason)) => Poll::Ready(Err(WhyNot::Disconnected(reason.clone()))),
                (None, None) => Poll::Pending,
            }
        });
        timeout(PATIENCE, waiting).await.unwrap_or(Err(WhyNot::NoAnswer))
    }

    /// Does something, while players take what they are told.
    async fn while_hearing<W: Future>(&mut self, work: W) -> W::Output {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.hear(cx);
            work.as_mut().poll(cx)
        })
        .await
    }

    fn hear(&mut self, cx: &mut Context<'_>) {
        self.actors.values_mut().for_each(|actor| actor.hear(cx));
    }

    fn note(&mut self, seq: u64, seat: Seat, done: Result<(), WhyNot>) {
        match done {
            Ok(()) => self.done += 1,
            Err(why) => self.performance.not_performed.push(NotPerformed { seq, seat, why }),
        }
    }
}

impl Default for PerformOptions {
    fn default() -> Self {
        Self {
            speed: Speed::NORMAL,
            in_order: true,
            from: 0,
            room: None,
            join_data: Bytes::new(),
            client: ClientBuilder::default(),
        }
    }
}

/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
