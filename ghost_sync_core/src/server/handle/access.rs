//! Who may come in, and who is who.

use std::{sync::Arc, time::Duration};

use super::{ServerHandle, conn_of};
use crate::{
    identity::{Identity, RevocationsFull, Revoke},
    relay::{ActiveBan, BanClientError, TooManyBans, Who},
    wire::{ClientId, UserId},
};

impl ServerHandle {
    /// Who a client is, if its token said so.
    pub fn client_identity(&self, client: ClientId) -> Option<Arc<Identity>> {
        self.look(|relay| relay.identity_of(relay.conn_of(client)?))
    }

    /// The clients that a user has, those that are away included, the oldest first.
    pub fn user_clients(&self, user: &UserId) -> Vec<ClientId> {
        self.look(|relay| {
            let conns = relay.conns_of_user(user).iter();
            conns.filter_map(|conn| relay.client_of(*conn)).collect()
        })
    }

    /// Keeps somebody out for so long, `None` for ever; in place of an earlier ban of the same.
    /// Whoever is meant and here is told [`Banned`](crate::CloseReason::Banned) and gone
    /// before this returns, away sessions included.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use ghost_sync_core::{Server, UserId, Who};
    ///
    /// let server = Server::builder().local_only().build().handle();
    /// let hour = Some(Duration::from_secs(3600));
    /// server.ban(Who::User(UserId::new("mallory")?), hour, "cheating")?;
    /// server.ban(Who::Address("192.0.2.0/24".parse()?), None, "a rented botnet")?;
    /// assert_eq!(server.bans().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TooManyBans`] past 100,000.
    pub fn ban(
        &self,
        who: Who,
        lasts: Option<Duration>,
        message: impl AsRef<str>,
    ) -> Result<(), TooManyBans> {
        let message = message.as_ref();
        self.act(|relay, now, out| relay.ban(now, who, lasts, message, out))?;
        self.service.bans.made();
        Ok(())
    }

    /// Bans a client: its user, or, if it has none, the address that it comes from (of IPv6 the
    /// first 64 bits, which one household has). Returns who is banned, for
    /// [`unban`](Self::unban).
    ///
    /// # Errors
    /// [`BanClientError`].
    pub fn ban_client(
        &self,
        client: ClientId,
        lasts: Option<Duration>,
        message: impl AsRef<str>,
    ) -> Result<Who, BanClientError> {
        let message = message.as_ref();
        let who = self.act(|relay, now, out| {
            let conn = conn_of(relay, client)?;
            relay.ban_client(now, conn, lasts, message, out)
        })?;
        self.service.bans.made();
        Ok(who)
    }

    /// Ends a ban; whether there was one.
    pub fn unban(&self, who: &Who) -> bool {
        let was = self.act(|relay, now, _| relay.unban(now, who));
        self.service.bans.made();
        was
    }

    /// The bans that are in force.
    pub fn bans(&self) -> Vec<ActiveBan> {
        self.act(|relay, now, _| relay.bans(now).collect())
    }

    /// Calls tokens back before their time is over: sessions that were opened with such a token
    /// end, away ones too, and it is refused from now on.
    ///
    /// # Errors
    /// [`RevocationsFull`] past 100,000; sessions are ended then, too.
    pub fn revoke(&self, revoke: &Revoke) -> Result<(), RevocationsFull> {
        self.act(|relay, now, out| relay.revoke(now, revoke, out))
    }

    /// The bans may be others than before.
    pub(crate) fn bans_changed(&self) {
        self.service.bans.made();
    }
}
