//! Explains types that systems read or write and nobody has registered.

use bevy::{
    ecs::{
        component::Components,
        observer::On,
        schedule::ScheduleBuilt,
        system::{Commands, Local},
        world::World,
    },
    log::error,
};

use super::registry::MessageRegistry;
use crate::shared::say_without_log;

/// Looks through what the systems of a schedule need, before the schedule runs for the first
/// time: Bevy stops the program where such a system runs, without saying what to do. A system
/// that never runs here may need what it likes, so this only says it.
pub(super) fn explain_unregistered(
    _: On<ScheduleBuilt>,
    components: &Components,
    world: &World,
    mut looked: Local<usize>,
    mut commands: Commands,
) {
    let new = components.iter_registered().skip(*looked);
    for component in new {
        let name = component.name().to_string();
        if let Some(envelope) = Envelope::parse(&name)
            && world.get_resource_by_id(component.id()).is_none()
        {
            let registered = world.resource::<MessageRegistry>().has_rust_type(envelope.payload);
            let complaint = envelope.explain(registered);
            say_without_log(&complaint);
            error!("{complaint}");
            commands.queue(|world: &mut World| {
                world.resource_mut::<MessageRegistry>().complain(complaint);
            });
        }
    }
    *looked = components.iter_registered().count();
}

/// An envelope as the name of its messages shows it.
#[derive(Debug, PartialEq)]
struct Envelope<'a> {
    envelope: &'a str,
    payload: &'a str,
}

impl<'a> Envelope<'a> {
    /// Of `...::Messages<...::typed::envelopes::Broadcast<game::Chat>>`.
    fn parse(messages: &'a str) -> Option<Self> {
        let (_, rest) =
            messages.split_once(concat!("Messages<", module_path!()).strip_suffix("check")?)?;
        let rest = rest.strip_prefix("envelopes::")?.strip_suffix('>')?;
        let (envelope, payload) = rest.split_once('<')?;
        Some(Self { envelope, payload: payload.strip_suffix('>')? })
    }

    fn explain(&self, registered: bool) -> String {
        let Self { envelope, payload } = *self;
        let short = payload.rsplit("::").next().unwrap_or(payload);
        if registered {
            let (plugin, side) = if CLIENTS.contains(&envelope) {
                ("GhostClientPlugin::default()", "a client")
            } else {
                ("GhostServerPlugin::default()", "a server")
            };
            format!(
                "a system reads or writes `{envelope}<{payload}>`, which only {side} has; add the \
                 plugin to the app: `app.add_plugins({plugin});`"
            )
        } else {
            format!(
                "a system reads or writes `{envelope}<{payload}>`, but `{payload}` is not \
                 registered; add this line to the function that both sides use: \
                 `app.add_ghost_message::<{short}>();` (and that function to the plugins of this app)"
            )
        }
    }
}

const CLIENTS: [&str; 4] = ["Broadcast", "ToServer", "FromRoom", "FromServer"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_told_from_other_messages() {
        let name = std::any::type_name::<
            bevy::ecs::message::Messages<crate::typed::ToRoom<std::num::NonZeroU8>>,
        >();
        let envelope = Envelope::parse(name).expect("it is one");
        assert_eq!(envelope.envelope, "ToRoom");
        assert!(envelope.payload.starts_with("core::num::"), "{}", envelope.payload);
        let other = std::any::type_name::<bevy::ecs::message::Messages<crate::Joined>>();
        assert_eq!(Envelope::parse(other), None);
    }
}
