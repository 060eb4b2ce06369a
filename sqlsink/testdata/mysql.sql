-- begin
start transaction;

-- fence
update `sluice_offsets` set next_offset = ?, leader_epoch = ?, updated_at = current_timestamp(3) where group_id = ? and topic = ? and partition_id = ? and owner_epoch = ? and owner = ? and next_offset = ?;

-- read the offset
select topic_id, next_offset, leader_epoch, owner_epoch, owner from `sluice_offsets` where group_id = ? and topic = ? and partition_id = ? for update;

-- take the offset
update `sluice_offsets` set owner_epoch = ?, owner = ?, topic_id = ?, updated_at = current_timestamp(3) where group_id = ? and topic = ? and partition_id = ?;

-- add the offset
insert into `sluice_offsets` (group_id, topic, partition_id, topic_id, next_offset, leader_epoch, owner_epoch, owner, updated_at) values (?, ?, ?, ?, ?, ?, ?, ?, current_timestamp(3));

-- insert
insert into `shop`.`"or``ders` (`id`, `a"b`, `c``d`, `two words`) values (?, ?, ?, ?), (?, ?, ?, ?);

-- upsert
insert into `shop`.`"or``ders` (`id`, `a"b`, `c``d`, `two words`) values (?, ?, ?, ?), (?, ?, ?, ?) on duplicate key update `a"b` = values(`a"b`), `c``d` = values(`c``d`);

-- upsert, the table has another unique index
insert into `shop`.`"or``ders` (`id`, `a"b`, `c``d`, `two words`) values (?, ?, ?, ?) on duplicate key update `id` = if(9223372036854775807 + (not (`id` <=> values(`id`) and `two words` <=> values(`two words`))) > 0, `id`, `id`), `a"b` = values(`a"b`), `c``d` = values(`c``d`);

-- upsert, all columns are keys
insert into `shop`.`"or``ders` (`id`, `two words`) values (?, ?) on duplicate key update `id` = `id`;

-- delete
delete from `shop`.`"or``ders` where (`id` = ? and `two words` = ?) or (`id` = ? and `two words` = ?);

-- delete, one key column
delete from `shop`.`"or``ders` where `id` in (?, ?, ?);

-- create the table
create table if not exists `shop`.`"or``ders` (
	`id` bigint not null,
	`a"b` longtext character set utf8mb4,
	`c``d` longtext character set utf8mb4,
	`two words` varchar(255) character set utf8mb4 collate utf8mb4_bin not null,
	primary key (`id`, `two words`)
) engine=InnoDB;

-- create the table of offsets
create table if not exists `sluice_offsets` (
	group_id varchar(255) character set utf8mb4 collate utf8mb4_bin not null,
	topic varchar(249) character set ascii collate ascii_bin not null,
	partition_id int not null,
	topic_id varchar(22) character set ascii collate ascii_bin not null,
	next_offset bigint not null,
	leader_epoch int not null,
	owner_epoch bigint not null,
	owner varchar(32) character set ascii collate ascii_bin not null,
	updated_at datetime(3) not null,
	primary key (group_id, topic, partition_id)
) engine=InnoDB row_format=dynamic;

-- the remedy for a topic that was made again
delete from `sluice_offsets` where group_id = 'it''s' and topic = 't' and partition_id = 3;

