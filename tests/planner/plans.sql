-- Statements and what is read for them: wave | table | access | bounds | remark. The schema is in test_plans.py.

-- keys
select * from instances where id = ?;
--> 1 | instances | key | id = ?1
select * from instances where id = 5 and host = 'a';
--> 1 | instances | key | id = 5
select * from instances where uuid = ? and deleted = 0;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
select * from instances where id in (?, ?, ?);
--> 1 | instances | key | id IN (?1, ?2, ?3)
select * from instances where id > ? and id <= ?;
--> 1 | instances | key range | id > ?1 AND id <= ?2
select * from instances where id between ? and ?;
--> 1 | instances | key range | id >= ?1 AND id <= ?2
select * from parts where (node, kind) > (?, ?);
--> 1 | parts | index ix_node_kind_size | (node, kind) > (?1, ?2)
select * from parts where (node, kind, size) <= (?, ?, 5) and node > 'a';
--> 1 | parts | index ix_node_kind_size | (node, kind, size) <= (?1, ?2, 5) AND node > 'a'
select * from parts where node = ? and (?, ?) > (kind, size);
--> 1 | parts | index ix_node_kind_size | node = ?1 AND (kind, size) < (?2, ?3)
select * from parts where (node, size) > (?, ?);
--> 1 | parts | index ix_node_kind_size | node >= ?1
select * from parts where (node, kind) between (?, ?) and (?, ?);
--> 1 | parts | index ix_node_kind_size | (node, kind) >= (?1, ?2) AND (node, kind) <= (?3, ?4)
select * from parts where (node, kind, id) > (?, ?, ?);
--> 1 | parts | index ix_node_kind_size | (node, kind) >= (?1, ?2)
select * from tags where (resource_id, tag) > (?, ?);
--> 1 | tags | key range | (resource_id, tag) > (?1, ?2)
select * from instances where rowid = ?;
--> 1 | instances | key | id = ?1
select * from tags where resource_id = ? and tag = ?;
--> 1 | tags | key | resource_id = ?1 AND tag = ?2
select * from tags where tag = ? and resource_id in (?, ?);
--> 1 | tags | key | resource_id IN (?2, ?3) AND tag = ?1
select * from tags where resource_id = ?;
--> 1 | tags | key range | resource_id = ?1
select * from tags where resource_id = ? and tag > ?;
--> 1 | tags | key range | resource_id = ?1 AND tag > ?2
select * from tags where tag = ?;
--> 1 | tags | whole table | no index begins with tag
select * from tags where (resource_id, tag) in ((?, ?), (?, ?));
--> 1 | tags | key | resource_id IN (?1, ?3) AND tag IN (?2, ?4)
select * from tags where resource_id = ? and tag is null;
--> 1 | tags | key | resource_id = ?1 AND tag IS NULL
select * from services where rowid in (1, 2);
--> 1 | services | key | rowid IN (1, 2)

-- indexes
select * from instances where host = ?;
--> 1 | instances | index ix_host_node | host = ?1
select * from instances where host = ? and node = ?;
--> 1 | instances | index ix_host_node | host = ?1 AND node = ?2
select * from parts where node = ? and kind = ?;
--> 1 | parts | index ix_node_kind_size | node = ?1 AND kind = ?2
select * from parts where kind = ? and size = ?;
--> 1 | parts | index ix_kind | kind = ?1
select * from instances join parts on parts.node = instances.node and kind = host where uuid = ?;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
--> 2 | parts | index ix_node_kind_size | node = instances.node AND kind = instances.host | keyed by instances
select * from instances where host = ? and node = ? and deleted = ?;
--> 1 | instances | index ix_host_node | host = ?1 AND node = ?2 AND deleted = ?3
select * from instances where host = ? and deleted = ?;
--> 1 | instances | index ix_host_node | host = ?1
select * from instances where host = ? and node > ?;
--> 1 | instances | index ix_host_node | host = ?1 AND node > ?2
select * from instances where node = ?;
--> 1 | instances | whole table | no index begins with node
select * from instances where host in (?, ?) and node = ?;
--> 1 | instances | index ix_host_node | host IN (?1, ?2) AND node = ?3
select * from instances where host is null;
--> 1 | instances | index ix_host_node | host IS NULL
select * from instances where host is not null;
--> 1 | instances | whole table | no index can serve the conditions on host (only =, IS, IN, BETWEEN, <, > with a value)
select * from instances where launched >= ? and launched < ?;
--> 1 | instances | index ix_launched | launched >= ?1 AND launched < ?2
select * from instances where launched < ? and host = ?;
--> 1 | instances | index ix_host_node | host = ?2
--> 1 | instances | or index ix_launched | launched < ?1 | if it finds fewer
select * from instances where 'a' < launched;
--> 1 | instances | index ix_launched | launched > 'a'
select * from instances where host like 'a%';
--> 1 | instances | whole table | no index can serve the conditions on host (only =, IS, IN, BETWEEN, <, > with a value)
select * from instances where host != ?;
--> 1 | instances | whole table | no index can serve the conditions on host (only =, IS, IN, BETWEEN, <, > with a value)
select * from instances where not host = ?;
--> 1 | instances | whole table | no index can serve the conditions on host (only =, IS, IN, BETWEEN, <, > with a value)
select * from instances where lower(host) = ?;
--> 1 | instances | whole table | no index can serve the conditions on host (only =, IS, IN, BETWEEN, <, > with a value)
select * from services where name = ? and weight > 0;
--> 1 | services | index ix_weight | weight > 0

-- partial indexes: where the statement implies the condition; expression indexes are not used
select * from jobs where host = ? and done is null;
--> 1 | jobs | index ix_open | host = ?1
select * from jobs where done is null;
--> 1 | jobs | index ix_open
select * from jobs where kind = ? and done is null;
--> 1 | jobs | index ix_open
select * from jobs where host = ?;
--> 1 | jobs | whole table | the index that begins with host has no entries for some of the rows asked for
select * from jobs where host = ? and done is ?;
--> 1 | jobs | whole table | the index that begins with host has no entries for some of the rows asked for; the index that begins with done has no entries for some of the rows asked for
select * from jobs where host = ? and done is not null;
--> 1 | jobs | whole table | the index that begins with host has no entries for some of the rows asked for
select * from jobs where host = ? and (done is null or kind = 'x');
--> 1 | jobs | index ix_open | host = ?1
--> 1 | jobs | index ix_done
select * from jobs where host = ? and kind > ? and done = ?;
--> 1 | jobs | index ix_done | done = ?3
select * from jobs where host is ? and kind = ? and done = ?;
--> 1 | jobs | whole table | no index begins with kind; the index that begins with host has no entries for some of the rows asked for; the index that begins with done has no entries for some of the rows asked for
select * from jobs join instances on jobs.host = instances.host and jobs.kind != 'x' where jobs.done > ?;
--> 1 | jobs | index ix_done | done > ?1
--> 2 | instances | index ix_host_node | host = jobs.host | keyed by jobs
select * from instances left join jobs on jobs.host = instances.host where instances.id = ? and jobs.done is null;
--> 1 | jobs | whole table | the index that begins with host has no entries for some of the rows asked for
--> 1 | instances | key | id = ?1
select * from instances left join jobs on jobs.host = instances.host and jobs.done is null where instances.id = ?;
--> 1 | instances | key | id = ?1
--> 2 | jobs | index ix_open | host = instances.host | keyed by instances
select * from jobs where lower(kind) = ?;
--> 1 | jobs | whole table | no index can serve the conditions on kind (only =, IS, IN, BETWEEN, <, > with a value)
select * from services where name = ? and weight > 5;
--> 1 | services | index ix_weight | weight > 5

-- collation and affinity
select * from instances where project = ?;
--> 1 | instances | index ix_project | project = ?1
select * from instances where project = ? collate binary;
--> 1 | instances | index ix_project | project = ?1
select * from instances where project > ? collate binary;
--> 1 | instances | whole table | project is compared under collation BINARY, and indexed under NOCASE
select * from instances where project > ?;
--> 1 | instances | index ix_project | project > ?1
select * from instances where host = ? collate nocase;
--> 1 | instances | whole table | host is compared under collation NOCASE, and indexed under BINARY
select * from instances where host = 5;
--> 1 | instances | index ix_host_node | host = 5
select * from services where data = 5 or weight = '5';
--> 1 | services | index ix_data | data = 5
--> 1 | services | index ix_weight | weight = '5'
select * from metadata join services on instance_uuid = weight where metadata.id = ?;
--> 1 | metadata | key | id = ?1
--> 2 | services | index ix_weight | weight = metadata.instance_uuid | keyed by metadata
select * from metadata join services on instance_uuid = data where data = ?;
--> 1 | metadata | index ix_metadata | instance_uuid = ?1
--> 1 | services | index ix_data | data = ?1

-- OR
select * from instances where id = ? or uuid = ?;
--> 1 | instances | key | id = ?1
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?2
select * from instances where host = ? or memory = ?;
--> 1 | instances | whole table | a part of an OR: no index begins with memory
select * from instances where (host = ? and node = ?) or (host = ? and node = ?);
--> 1 | instances | index ix_host_node | host = ?1 AND node = ?2
--> 1 | instances | index ix_host_node | host = ?3 AND node = ?4
select * from instances where (host = ? or node = ?) and project = ?;
--> 1 | instances | index ix_project | project = ?3
select * from instances where launched > ? or (launched = ? and id > ?);
--> 1 | instances | index ix_launched | launched > ?1
--> 1 | instances | index ix_launched | launched = ?2
select * from instances where (host = ? or host is null) and (id = 1 or id = 2);
--> 1 | instances | key | id = 1
--> 1 | instances | key | id = 2

-- joins
select * from instances join metadata on instance_uuid = uuid where uuid = ?;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
--> 1 | metadata | index ix_metadata | instance_uuid = ?1
select * from instances left join metadata on instance_uuid = uuid where uuid = ?;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
--> 1 | metadata | index ix_metadata | instance_uuid = ?1
select * from instances left join metadata on instance_uuid = uuid and key = ? where instances.id = ?;
--> 1 | instances | key | id = ?2
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid AND key = ?1 | keyed by instances
select * from instances left join metadata on instance_uuid = uuid where metadata.key = ?;
--> 1 | instances | whole table | it could be keyed by rows of metadata, but nothing bounds these first
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid AND key = ?1 | keyed by instances
select * from instances left join metadata on instance_uuid = uuid where metadata.id = ?;
--> 1 | metadata | key | id = ?1
--> 2 | instances | index sqlite_autoindex_instances_1 | uuid = metadata.instance_uuid | keyed by metadata
select * from instances left join metadata on instance_uuid = uuid where metadata.id is null;
--> 1 | instances | whole table | no condition on it
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid | keyed by instances
select * from instances right join metadata on instance_uuid = uuid where uuid = ?;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
--> 1 | metadata | index ix_metadata | instance_uuid = ?1
select * from instances full join metadata on instance_uuid = uuid where uuid = ?;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
--> 1 | metadata | index ix_metadata | instance_uuid = ?1
select * from instances full join metadata on instance_uuid = uuid;
--> 1 | instances | whole table | no condition on it
--> 1 | metadata | whole table | no condition on it
select * from metadata m, instances i where m.instance_uuid = i.uuid and m.id = ?;
--> 1 | metadata | key | id = ?1
--> 2 | instances | index sqlite_autoindex_instances_1 | uuid = metadata.instance_uuid | keyed by metadata
select * from metadata a join metadata b on a.instance_uuid = b.instance_uuid where a.instance_uuid = ?;
--> 1 | metadata | index ix_metadata | instance_uuid = ?1
select * from metadata a join metadata b on a.instance_uuid = b.instance_uuid and a.key = b.key where a.id = ?;
--> 1 | metadata | key | id = ?1
--> 2 | metadata | index ix_metadata | instance_uuid = metadata.instance_uuid AND key = metadata.key | keyed by metadata
select * from instances join metadata on instance_uuid = uuid join tags on resource_id = instance_uuid where uuid = ?;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
--> 1 | metadata | index ix_metadata | instance_uuid = ?1
--> 1 | tags | key range | resource_id = ?1
select * from instances left join (metadata join tags on tag = key) on instance_uuid = uuid where uuid = ?;
--> 1 | tags | whole table | no index begins with tag
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
--> 1 | metadata | index ix_metadata | instance_uuid = ?1
select * from instances join metadata using (id) where id = ?;
--> 1 | instances | key | id = ?1
--> 1 | metadata | key | id = ?1
select * from instances cross join services;
--> 1 | instances | whole table | no condition on it
--> 1 | services | whole table | no condition on it

-- subqueries
select * from instances where uuid in (select instance_uuid from metadata where id = ?);
--> 1 | metadata | key | id = ?1
--> 2 | instances | index sqlite_autoindex_instances_1 | uuid = metadata.instance_uuid | keyed by metadata
select * from instances where uuid not in (select instance_uuid from metadata where id = ?);
--> 1 | instances | whole table | no index can serve the conditions on uuid (only =, IS, IN, BETWEEN, <, > with a value)
--> 1 | metadata | key | id = ?1
select * from instances where host = ? and uuid in (select instance_uuid from metadata where key = ?);
--> 1 | instances | index ix_host_node | host = ?1
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid AND key = ?2 | keyed by instances
select * from instances where host = ? and exists (select 1 from metadata where instance_uuid = uuid and key = ?);
--> 1 | instances | index ix_host_node | host = ?1
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid AND key = ?2 | keyed by instances
select * from instances where host = ? and not exists (select 1 from metadata where instance_uuid = uuid);
--> 1 | instances | index ix_host_node | host = ?1
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid | keyed by instances
select * from instances where exists (select 1 from metadata where instance_uuid = uuid and metadata.id = ?);
--> 1 | metadata | key | id = ?1
--> 2 | instances | index sqlite_autoindex_instances_1 | uuid = metadata.instance_uuid | keyed by metadata
select * from instances where id = (select max(id) from metadata where instance_uuid = ?);
--> 1 | metadata | index ix_metadata | instance_uuid = ?1
--> 2 | instances | key | id = metadata.id | keyed by metadata
select * from instances where uuid = (select instance_uuid from metadata where id = ?);
--> 1 | metadata | key | id = ?1
--> 2 | instances | index sqlite_autoindex_instances_1 | uuid = metadata.instance_uuid | keyed by metadata
select uuid, (select count(*) from metadata where instance_uuid = uuid) from instances where id = ?;
--> 1 | instances | key | id = ?1
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid | keyed by instances
select uuid, (select count(*) from metadata where instance_uuid = uuid) from instances where uuid = ?;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
--> 1 | metadata | index ix_metadata | instance_uuid = ?1
select * from instances where id in (select 1 from (select 1) where 1!=1);
--> 1 | instances | key | id IN ()
select * from tags where (resource_id, tag) in (select 1, 1 from (select 1, 1) where 1!=1);
--> 1 | tags | key | resource_id IN () AND tag IN ()
select * from instances where uuid in (select instance_uuid from metadata where id = 1 union select resource_id from tags where resource_id = ?);
--> 1 | metadata | key | id = 1
--> 1 | tags | key range | resource_id = ?1
--> 2 | instances | index sqlite_autoindex_instances_1 | uuid IN (metadata.instance_uuid, tags.resource_id) | keyed by metadata, tags
select * from instances where id in wanted;
--> 1 | instances | whole table | it could be keyed by rows of wanted, but nothing bounds these first
--> 2 | wanted | key | id = instances.id | keyed by instances

-- derived tables, common table expressions, compounds, views
select * from (select * from instances where host = ? order by id limit ?) i left join metadata on instance_uuid = i.uuid;
--> 1 | instances | index ix_host_node | host = ?1
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid | keyed by instances
select * from (select * from instances where uuid = ? limit 1) i left join metadata on instance_uuid = i.uuid;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
--> 1 | metadata | index ix_metadata | instance_uuid = ?1
select * from (select uuid as u from instances) where u = ?;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
select * from (select distinct uuid as u from instances) where u = ?;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
select * from (select host, count(*) from instances group by host) where host = ?;
--> 1 | instances | whole table | no condition on it
with i as (select * from instances where host = ?) select * from i join metadata on instance_uuid = i.uuid;
--> 1 | instances | index ix_host_node | host = ?1
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid | keyed by instances
with instances as (select * from tags where resource_id = ?) select * from instances;
--> 1 | tags | key range | resource_id = ?1
with recursive r (n) as (select 1 union all select n + 1 from r where n < ?) select * from r join instances on id = n;
--> 1 | instances | whole table | id is compared with a computed value, not with a table's column
select uuid from instances where host = ? union select instance_uuid from metadata where id = ?;
--> 1 | instances | index ix_host_node | host = ?1
--> 1 | metadata | key | id = ?2
select * from live where uuid = ?;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
select * from live join metadata on instance_uuid = live.uuid where live.host = ?;
--> 1 | instances | index ix_host_node | host = ?1
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid | keyed by instances
select * from per_host where h = ?;
--> 1 | instances | whole table | no condition on it

-- everything
select count(*) from instances;
--> 1 | instances | count of whole table | reads no rows
select count(*) as count_1 from (select instances.id as a, instances.node as b from instances where host = ?) as anon_1;
--> 1 | instances | count of index ix_host_node | host = ?1 | reads no rows
select min(launched) as a, max(id) from instances where launched > ?;
--> 1 | instances | index ix_launched | launched > ?1
select count(id), min(launched) from instances where launched > ?;
--> 1 | instances | count of index ix_launched | launched > ?1 | reads no rows
--> 1 | instances | first of index ix_launched | launched > ?1 | reads one row
select * from instances order by id limit 10;
--> 1 | instances | key range | until LIMIT is reached
select * from instances order by id desc limit 10 offset 20;
--> 1 | instances | key range | backwards until LIMIT is reached
select * from instances order by launched, memory limit 10;
--> 1 | instances | index ix_launched | until LIMIT is reached
select * from instances where host = ? order by node desc, deleted desc limit ?;
--> 1 | instances | index ix_host_node | host = ?1 | backwards until LIMIT is reached
select * from instances where launched < ? or (launched = ? and id < ?) order by launched desc, id desc limit ?;
--> 1 | instances | index ix_launched | launched < ?1 | backwards until LIMIT is reached
--> 1 | instances | index ix_launched | launched = ?2 AND id < ?3 | backwards until LIMIT is reached
select * from (select * from instances where host = ? order by id limit 5) a left join metadata on instance_uuid = a.uuid;
--> 1 | instances | index ix_host_node | host = ?1
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid | keyed by instances
select i.id from instances i left join metadata m on m.instance_uuid = i.uuid where i.id > ? order by i.id, m.id limit 5;
--> 1 | instances | key range | id > ?1 | until LIMIT is reached
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid | keyed by instances

select * from instances order by launched is null desc, launched limit 5;
--> 1 | instances | index ix_launched | until LIMIT is reached
select * from instances order by launched is not null desc, launched desc limit 5;
--> 1 | instances | index ix_launched | backwards until LIMIT is reached

-- several ways
select * from instances where project = ? and host = ?;
--> 1 | instances | index ix_project | project = ?1
--> 1 | instances | or index ix_host_node | host = ?2 | if it finds fewer
select * from instances where project = ? and host = ? and node = ? and launched > ?;
--> 1 | instances | index ix_project | project = ?1
--> 1 | instances | or index ix_host_node | host = ?2 AND node = ?3 | if it finds fewer
--> 1 | instances | or index ix_launched | launched > ?4 | if it finds fewer
select * from instances where uuid = ? and project = ?;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
select * from instances where host = ? and host > ? and node > ?;
--> 1 | instances | index ix_host_node | host = ?1 AND node > ?3
update instances set node = ? where project = ? and host = ?;
--> 1 | instances | index ix_project | project = ?2
--> 1 | instances | or index ix_host_node | host = ?3 | if it finds fewer
select * from jobs j join parts p on p.node = j.host where j.id = ? and p.kind = ?;
--> 1 | jobs | key | id = ?1
--> 1 | parts | index ix_kind | kind = ?2
--> 1 | parts | or index ix_node_kind_size | node = jobs.host AND kind = ?2 | keyed by jobs, if they are fewer
select * from parts p left join parts q on q.node = p.node and q.kind = ? where p.kind = ?;
--> 1 | parts | index ix_kind | kind = ?2
--> 1 | parts | index ix_kind | kind = ?1
--> 1 | parts | or index ix_node_kind_size | node = parts.node AND kind = ?1 | keyed by parts, if they are fewer
select * from parts p where p.kind = ? and p.node in (select host from instances where project = ?);
--> 1 | parts | index ix_kind | kind = ?1
--> 1 | parts | or index ix_node_kind_size | node = instances.host AND kind = ?1 | keyed by instances, if they are fewer
--> 1 | instances | index ix_project | project = ?2
--> 1 | instances | or index ix_host_node | host = parts.node | keyed by parts, if they are fewer
select * from instances where project = ? and launched > ? order by launched limit 5;
--> 1 | instances | index ix_project | project = ?1
--> 1 | instances | or index ix_launched | launched > ?2 | if it finds fewer

-- LIMIT inside
delete from instances where id in (select id from instances where deleted = ? order by id limit ?);
--> 1 | instances | key range | until LIMIT is reached
--> 2 | instances | key | id = instances.id | keyed by instances
update instances set host = ? where id in (select i.id from instances i order by launched, memory limit 5);
--> 1 | instances | index ix_launched | until LIMIT is reached
--> 2 | instances | key | id = instances.id | keyed by instances
insert into tags select id, uuid from instances order by launched limit 5;
--> 1 | instances | index ix_launched | until LIMIT is reached
select * from metadata where instance_uuid in (select uuid from instances order by id limit 5);
--> 1 | instances | key range | until LIMIT is reached
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid | keyed by instances
with few as (select id from instances order by launched desc limit 5) select i.* from few join instances i on i.id = few.id;
--> 1 | instances | index ix_launched | backwards until LIMIT is reached
--> 2 | instances | key | id = instances.id | keyed by instances

-- LIMIT that bounds nothing
update instances set host = (select host from instances order by id limit 1) where id > 5;
--> 1 | instances | whole table | no condition on it
update instances set host = ? where id in (select m.id from instances m where m.host = instances.host order by m.id limit 1);
--> 1 | instances | whole table | it could be keyed by rows of instances, but nothing bounds these first
select * from instances order by launched is not null desc, launched limit 5;
--> 1 | instances | whole table | no condition on it
select * from instances order by memory limit 10;
--> 1 | instances | whole table | no condition on it
select * from instances order by project collate binary limit 10;
--> 1 | instances | whole table | no condition on it
select * from instances order by launched desc nulls first limit 10;
--> 1 | instances | whole table | no condition on it
select distinct launched from instances order by launched limit 10;
--> 1 | instances | whole table | no condition on it
select launched, count(*) from instances group by launched order by launched limit 10;
--> 1 | instances | whole table | no condition on it
select launched, count(*) over () from instances order by launched limit 10;
--> 1 | instances | whole table | no condition on it
select launched as x, memory as launched from instances order by launched limit 10;
--> 1 | instances | whole table | no condition on it
select uuid from instances limit 10;
--> 1 | instances | whole table | no condition on it
select i.id, m.* from instances i left join metadata m on m.instance_uuid = i.uuid limit 10;
--> 1 | instances | whole table | no condition on it
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid | keyed by instances
select * from instances where uuid > 'a' limit 10;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid > 'a'
select i.id from instances i join metadata m on m.instance_uuid = i.uuid order by i.id limit 10;
--> 1 | instances | whole table | it could be keyed by rows of metadata, but nothing bounds these first
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid | keyed by instances
select id from instances where id > 3 union select id from wanted order by 1 limit 10;
--> 1 | wanted | whole table | no condition on it
--> 1 | instances | key range | id > 3
select max(id) from instances;
--> 1 | instances | last of whole table | reads one row
select 1;
--> nothing
values (1), (2);
--> nothing
select * from sqlite_master;
--> nothing
explain query plan select * from instances;
--> nothing

-- statements that write
update instances set host = ? where uuid = ?;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?2
update instances set host = ?;
--> 1 | instances | whole table | no condition on it
update or ignore instances set (host, node) = (?, ?) where id in (?, ?);
--> 1 | instances | key | id IN (?3, ?4)
update instances set host = (select value from metadata where instance_uuid = uuid) where id = ?;
--> 1 | instances | key | id = ?1
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid | keyed by instances
update instances set host = value from metadata where instance_uuid = uuid and metadata.id = ?;
--> 1 | metadata | key | id = ?1
--> 2 | instances | index sqlite_autoindex_instances_1 | uuid = metadata.instance_uuid | keyed by metadata
delete from instances where id = ? returning *;
--> 1 | instances | key | id = ?1
delete from metadata where instance_uuid in (select uuid from instances where host = ?);
--> 1 | instances | index ix_host_node | host = ?1
--> 2 | metadata | index ix_metadata | instance_uuid = instances.uuid | keyed by instances
insert into instances (uuid) values (?);
--> nothing
insert into instances (uuid) values (?) on conflict (uuid) do update set host = excluded.host returning id;
--> nothing
insert into instances (uuid) values ((select instance_uuid from metadata where id = ?));
--> 1 | metadata | key | id = ?1
insert into instances (uuid) select instance_uuid from metadata where key = ? and instance_uuid = ?;
--> 1 | metadata | index ix_metadata | instance_uuid = ?2 AND key = ?1
insert into instances (uuid) select uuid || '2' from instances where uuid = ?;
--> 1 | instances | index sqlite_autoindex_instances_1 | uuid = ?1
replace into tags values (?, ?);
--> nothing
insert into tags values (1 in wanted, ?);
--> 1 | wanted | whole table | no condition on it
insert into tags values (?, ?) returning (select count(*) from instances where uuid = resource_id);
--> 1 | instances | whole table | no index can serve the conditions on uuid (only =, IS, IN, BETWEEN, <, > with a value)

