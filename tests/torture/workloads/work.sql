create table t(a int, b int, c text);
insert into t with recursive n(i) as (select 1 union all select i+1 from n where i<20000) select i, i*i%97, 'x' || i from n;
create index x on t(b);
select sum(a), b from t group by b order by b limit 20;
select count(*) from t p join t q on p.a = q.b where p.c like '%7%';
with recursive f(n,a,b) as (select 1,1,1 union all select n+1,b,(a+b)%1000003 from f where n<20000) select sum(a) from f;
drop table t;
