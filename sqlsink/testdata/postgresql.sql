-- begin
begin;

-- fence
update "sluice_offsets" set next_offset = $1, leader_epoch = $2, updated_at = now() where group_id = $3 and topic = $4 and partition_id = $5 and owner_epoch = $6 and owner = $7 and next_offset = $8;

-- read the offset
select topic_id, next_offset, leader_epoch, owner_epoch, owner from "sluice_offsets" where group_id = $1 and topic = $2 and partition_id = $3 for update;

-- take the offset
update "sluice_offsets" set owner_epoch = $1, owner = $2, topic_id = $3, updated_at = now() where group_id = $4 and topic = $5 and partition_id = $6;

-- add the offset
insert into "sluice_offsets" (group_id, topic, partition_id, topic_id, next_offset, leader_epoch, owner_epoch, owner, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, now());

-- insert
insert into "shop"."""or`ders" ("id", "a""b", "c`d", "two words") values ($1, $2, $3, $4), ($5, $6, $7, $8);

-- upsert
insert into "shop"."""or`ders" ("id", "a""b", "c`d", "two words") values ($1, $2, $3, $4), ($5, $6, $7, $8) on conflict ("id", "two words") do update set "a""b" = excluded."a""b", "c`d" = excluded."c`d";

-- upsert, the table has another unique index
insert into "shop"."""or`ders" ("id", "a""b", "c`d", "two words") values ($1, $2, $3, $4) on conflict ("id", "two words") do update set "a""b" = excluded."a""b", "c`d" = excluded."c`d";

-- upsert, all columns are keys
insert into "shop"."""or`ders" ("id", "two words") values ($1, $2) on conflict ("id", "two words") do nothing;

-- delete
delete from "shop"."""or`ders" where ("id" = $1 and "two words" = $2) or ("id" = $3 and "two words" = $4);

-- delete, one key column
delete from "shop"."""or`ders" where "id" in ($1, $2, $3);

-- create the table
create table if not exists "shop"."""or`ders" (
	"id" bigint not null,
	"a""b" text,
	"c`d" text,
	"two words" text,
	primary key ("id", "two words")
);

-- create the table of offsets
create table if not exists "sluice_offsets" (
	group_id text not null,
	topic text not null,
	partition_id integer not null,
	topic_id text not null,
	next_offset bigint not null,
	leader_epoch integer not null,
	owner_epoch bigint not null,
	owner text not null,
	updated_at timestamp with time zone not null,
	primary key (group_id, topic, partition_id)
);

-- the remedy for a topic that was made again
delete from "sluice_offsets" where group_id = 'it''s' and topic = 't' and partition_id = 3;

