SELECT json_build_object(
    'roles', (
        SELECT json_object_agg(role.rolname, json_build_object(
            'login', role.rolcanlogin,
            'limit', role.rolconnlimit,
            'password', role.rolpassword,
            'log_in_due', EXISTS (
                SELECT FROM pg_db_role_setting AS own
                WHERE own.setrole = role.oid AND own.setdatabase = 0 AND 'deploy.log_in=due' = ANY (own.setconfig)
            ),
            'member_of', (
                SELECT coalesce(json_agg(DISTINCT parent.rolname), '[]')
                FROM pg_auth_members AS member JOIN pg_roles AS parent ON parent.oid = member.roleid
                WHERE member.member = role.oid
            )
        ))
        FROM pg_authid AS role WHERE role.rolname !~ '^pg_'
    ),
    'pending', (SELECT json_object_agg(name, setting) FROM pg_settings WHERE pending_restart),
    -- One that takes no connections was not made to its end.
    'databases', (SELECT json_object_agg(datname, pg_get_userbyid(datdba)) FROM pg_database WHERE datallowconn)
)
