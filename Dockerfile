# The environment of constraints.txt: docker build --tag gm . && docker run --rm --volume "$PWD:/work" gm run
FROM python:3.11-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*
COPY . /opt/gm
RUN pip install --no-cache-dir --constraint /opt/gm/constraints.txt --editable /opt/gm \
    && git config --system --add safe.directory /opt/gm
ENV OMP_NUM_THREADS=1 MPLBACKEND=agg
WORKDIR /work
ENTRYPOINT ["gm"]
