#!/usr/bin/env bash
# What a user does first with an installed lingarith, outside of any checkout: tools/installed.sh ENVIRONMENT
set -euo pipefail
environment=$1 folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export LINGARITH_STORE=$folder/store PATH=$environment/bin:$PATH
unset PYTHONPATH
python -c 'import sys, lingarith; assert "torch" not in sys.modules; print(lingarith.__version__, lingarith.__file__)'
lingarith --version
lingarith --help > help.txt
lingarith related pt --among en,ja
lingarith train language pt --steps 2 --batch-size 4 --characters 3000
lingarith vectors verify
lingarith generate '0.5*news[pt]' 'Uma ponte nova foi aberta.' --max-output 8
lingarith export 'news[pt]' --space delta --out adapter
