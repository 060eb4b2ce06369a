-- begin
begin immediate;

-- fence
update "sluice_offsets" set next_offset = ?, leader_epoch = ?, updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now') where group_id = ? and topic = ? and partition_id = ? and owner_epoch = ? and owner = ? and next_offset = ?;

-- read the offset
select topic_id, next_offset, leader_epoch, owner_epoch, owner from "sluice_offsets" where group_id = ? and topic = ? and partition_id = ?;

-- take the offset
update "sluice_offsets" set owner_epoch = ?, owner = ?, topic_id = ?, updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now') where group_id = ? and topic = ? and partition_id = ?;

-- add the offset
insert into "sluice_offsets" (group_id, topic, partition_id, topic_id, next_offset, leader_epoch, owner_epoch, owner, updated_at) values (?, ?, ?, ?, ?, ?, ?, ?, strftime('%Y-%m-%d %H:%M:%f', 'now'));

-- insert
insert into "shop"."""or`ders" ("id", "a""b", "c`d", "two words") values (?, ?, ?, ?), (?, ?, ?, ?);

-- upsert
insert into "shop"."""or`ders" ("id", "a""b", "c`d", "two words") values (?, ?, ?, ?), (?, ?, ?, ?) on conflict ("id", "two words") do update set "a""b" = excluded."a""b", "c`d" = excluded."c`d";

-- upsert, the table has another unique index
insert into "shop"."""or`ders" ("id", "a""b", "c`d", "two words") values (?, ?, ?, ?) on conflict ("id", "two words") do update set "a""b" = excluded."a""b", "c`d" = excluded."c`d";

-- upsert, all columns are keys
insert into "shop"."""or`ders" ("id", "two words") values (?, ?) on conflict ("id", "two words") do nothing;

-- delete
delete from "shop"."""or`ders" where ("id" = ? and "two words" = ?) or ("id" = ? and "two words" = ?);

-- delete, one key column
delete from "shop"."""or`ders" where "id" in (?, ?, ?);

-- create the table
create table if not exists "shop"."""or`ders" (
	"id" bigint not null,
	"a""b" text,
	"c`d" text,
	"two words" text not null,
	primary key ("id", "two words")
);

-- create the table of offsets
create table if not exists "sluice_offsets" (
	group_id text not null,
	topic text not null,
	partition_id integer not null,
	topic_id text not null,
	next_offset integer not null,
	leader_epoch integer not null,
	owner_epoch integer not null,
	owner text not null,
	updated_at text not null,
	primary key (group_id, topic, partition_id)
) without rowid;

-- the remedy for a topic that was made again
delete from "sluice_offsets" where group_id = 'it''s' and topic = 't' and partition_id = 3;

