WITH wanted (role, schema, writes) AS (/*grants*/),
resolved AS (
    SELECT role, schema, writes,
        to_regrole(quote_ident(role))::oid AS grantee,
        to_regnamespace(quote_ident(schema))::oid AS namespace,
        (SELECT datdba FROM pg_database WHERE datname = current_database()) AS owner
    FROM wanted
)
SELECT json_build_object(
    'extensions', (SELECT coalesce(json_agg(extname), '[]') FROM pg_extension),
    'schemas', (SELECT coalesce(json_agg(nspname), '[]') FROM pg_namespace),
    'lookup', obj_description(to_regprocedure('pgbouncer.user_lookup(text)')),
    'heartbeat', to_regclass('public.heartbeat') IS NOT NULL,
    'missing', (
        SELECT coalesce(json_agg(role || ' ' || schema), '[]') FROM resolved
        WHERE grantee IS NULL OR namespace IS NULL
            OR NOT has_schema_privilege(grantee, namespace, 'USAGE')
            OR NOT has_database_privilege(grantee, current_database(), 'CONNECT')
            OR EXISTS (
                SELECT FROM pg_class
                WHERE relnamespace = namespace AND relkind IN ('r', 'p', 'v', 'm')
                    AND NOT (has_table_privilege(grantee, oid, 'SELECT')
                        AND (NOT writes OR relkind IN ('v', 'm') OR has_table_privilege(grantee, oid, 'INSERT')))
            )
            OR NOT EXISTS (
                SELECT FROM pg_default_acl, aclexplode(defaclacl) AS acl
                WHERE defaclobjtype = 'r' AND defaclnamespace = namespace AND defaclrole = owner
                    AND acl.grantee = resolved.grantee
                    AND acl.privilege_type = CASE WHEN writes THEN 'INSERT' ELSE 'SELECT' END
            )
    )
)
