"""One decision point for each target: a small document, and a pure function that changes it.

A target is the data source whose traits are set, in one destination; ID syncs have one for each
kind of pair. All that needs deciding about it stands in one document: which names are taken, what
is queued, on its way and in force, which versions of a window there are, what snapshots are
compared with, where watermarks stand.

============= ===================================================================================
module        what it is
============= ===================================================================================
``state``     the document as values: ``TargetState``, ``DeliveryEntry``, ``SnapshotSeries``
``names``     which target a file belongs to, and what is a version of what
``order``     which deliveries count for each other's order, and which is older
``commands``  what can be asked for
``events``    what comes of it: an event, or a refusal with its reason
``decide``    ``decide(state, command) -> state, event``: pure
``staging``   the decision about new content; ``closing``: what stays of what is done with
``snapshots`` which extracts may be in force
``queries``   what a state says: blockers, what has to be sent again, what is too new
``document``  a state as JSON and back
``target``    reads, decides, writes back if nothing has changed; else reads again
``homes``     where documents lie: object storage, a local folder, an SQL table
``history``   what is done with, in pages, newest first; ``records``: single ones, by name
============= ===================================================================================
"""
